"""`crossrec doctor`: one finding for each thing, and what to do about a red one."""

from pathlib import Path

import pytest

from infra.deploy.doctor import Finding, examine
from infra.settings import Settings


def _findings(settings: Settings) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(settings)}


def test_a_platform_that_is_not_there_is_red_with_the_remedy_and_the_rest_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSREC_SHOP_URL", f"sqlite:///{tmp_path}/gone.sqlite")
    findings = _findings(Settings(home=tmp_path))
    shop = findings["platform shop"]
    assert not shop.healthy
    assert "Received:" in shop.text
    assert "Remedy:" in shop.text
    assert findings["installation"].healthy
    assert findings[f"lake {tmp_path}/lake"].healthy
    assert "no champion yet" in next(f.text for name, f in findings.items() if name.startswith("MLflow"))


def test_a_lake_that_cannot_be_written_is_red_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("in the way")
    settings = Settings(home=tmp_path, lake=f"{tmp_path}/a-file/lake")
    finding = _findings(settings)[f"lake {tmp_path}/a-file/lake"]
    assert not finding.healthy
    assert "Remedy: set CROSSREC_LAKE" in finding.text


def test_a_damaged_warehouse_is_red_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_bytes(b"not a database at all" * 1000)
    finding = _findings(Settings(home=tmp_path))[f"warehouse {tmp_path}/warehouse.duckdb"]
    assert not finding.healthy
    assert "Remedy:" in finding.text
