"""A command that meets damaged or unreachable state ends in one sentence with the path and the remedy, and no traceback."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dags.cli import main
from infra.publications import CURRENT, LOG

DECISIONS = "identity/person_overrides.jsonl"
COMMANDS = [
    (("publications",), f"{LOG}00000001.json"),
    (("publications",), CURRENT),
    (("rollback",), f"{LOG}00000001.json"),
    (("identity", "decisions"), DECISIONS),
]
DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda file: file.write_bytes(b"{"),
    "garbage": lambda file: file.write_bytes(b"\xff\xfe\x00"),
    "another shape": lambda file: file.write_bytes(b"[1, 2]"),
    "a folder": Path.mkdir,
    "a loop of links": lambda file: file.symlink_to(file),
}


def said_by(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path, *arguments: str) -> str:
    """What the command says before it ends with exit code 1."""
    monkeypatch.setenv("CROSSREC_HOME", str(home))
    monkeypatch.setattr(sys, "argv", ["crossrec", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = "".join(capsys.readouterr())
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("command", "key"), COMMANDS)
def test_a_command_names_the_damaged_file(
    command: tuple[str, ...],
    key: str,
    damage: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "lake" / key
    file.parent.mkdir(parents=True)
    if key.startswith(LOG) and damage == "a folder":
        pytest.skip("a folder is no entry of the log")
    DAMAGES[damage](file)
    said = said_by(capsys, monkeypatch, tmp_path, *command)
    assert str(file) in said
    assert "Received: " in said
    assert "Remedy: " in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "lake" / DECISIONS
    file.parent.mkdir(parents=True)
    file.touch(0o000)
    assert "this user has no right to it" in said_by(capsys, monkeypatch, tmp_path, "identity", "decisions")


def test_a_home_that_is_a_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.touch()
    said = said_by(capsys, monkeypatch, home, "nightly", "--date", "2000-12-15")
    assert str(home) in said
    assert "Remedy: move it away" in said


def test_a_setting_that_cannot_be_used_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSREC_EPOCHS", "many")
    assert "CROSSREC_EPOCHS" in said_by(capsys, monkeypatch, tmp_path, "publications")
