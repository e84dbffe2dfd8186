"""The report shows what every gate found, also a gate that is newer than the order in which they are shown."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from dags.steps.night import Night
from dags.steps.serve.report import _gates
from expectations.gate import GateResult
from infra.settings import Settings

AS_OF = date(2000, 12, 15)


def test_no_gate_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(AS_OF, settings=Settings(home=tmp_path))
    monkeypatch.setattr(Night, "platforms", {name: SimpleNamespace(name=name) for name in ("forum", "shop")})
    for gate, platform in [
        ("lists", None),
        ("a_new_one", None),
        ("features", None),
        ("loads", "shop"),
        ("loads", "forum"),
        ("loads", "of_a_platform_that_is_gone"),
    ]:
        result = GateResult(gate=gate, platform=platform, as_of=AS_OF, checks=())
        night.write(result, result.key)
    assert [result.key for result in _gates(night)] == ["loads-forum", "loads-shop", "features", "lists", "a_new_one"]
