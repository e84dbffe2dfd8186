from pathlib import Path

import pytest

from infra import machine
from infra.settings import Settings


@pytest.mark.parametrize(("limit", "given"), [("1048576\n", 1_048_576), ("max\n", None), (str(2**62), None)])
def test_a_container_gives_what_it_may_use_and_never_more_than_the_machine_has(
    limit: str, given: int | None, tmp_path: Path
) -> None:
    (tmp_path / "memory.max").write_text(limit)
    whole = machine.memory(limits=())
    assert whole > 10**8
    assert machine.memory((tmp_path / "memory.max", tmp_path / "missing")) == (given or whole)


def test_memory_and_threads_follow_the_machine_unless_they_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory", lambda: 16_000_000_000)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(7)), raising=False)
    assert (Settings().duckdb_memory_limit, Settings().threads) == ("4000MB", 7)
    monkeypatch.setattr(machine, "memory", lambda: 2_000_000_000)
    monkeypatch.setenv("CROSSREC_THREADS", "3")
    assert (Settings().duckdb_memory_limit, Settings().threads) == ("1000MB", 3)
    monkeypatch.setenv("CROSSREC_DUCKDB_MEMORY_LIMIT", "512MB")
    assert Settings().duckdb_memory_limit == "512MB"
