"""Objectives that would quietly rank by something else than was meant stop the night before its marts."""

import shutil
from datetime import date

import pytest

from infra import warehouse
from infra.settings import Settings
from infra.warehouse import DBT_PROJECT, WarehouseError, run_dbt

SELECTED = ("objectives", "event_types", "objectives_are_sound")
BAD = {
    "objectives.csv": """objective,weight,example_weight
positive,0,weight
click,-1,weight
view,0,weight
like,0.5,weight
2nd choice,0,value
""",
    "event_types.csv": """event_type,weight,is_positive,verb,objective
view,0,false,viewed,view
click,0.3,true,clicked,click
rate,1.0,true,rated,positive
purchase,1.0,true,bought,buying
""",
}


def test_every_wrong_line_is_said(tmp_path, monkeypatch) -> None:
    project = tmp_path / "dbt_project"
    shutil.copytree(DBT_PROJECT, project)
    for name, lines in BAD.items():
        (project / "seeds" / name).write_text(lines)
    monkeypatch.setattr(warehouse, "DBT_PROJECT", project)
    settings = Settings(home=tmp_path)

    with pytest.raises(WarehouseError) as error:
        run_dbt(settings, ["build", "--select", *SELECTED], date(2000, 12, 15))

    for wrong in (
        "objectives_are_sound: ",
        "weight of click is -1.0, and may not be below 0",
        "positive must weigh more than 0",
        'objective "2nd choice" is no name',
        "event type rate counts for positive by is_positive alone",
        'event type purchase counts for "buying", which objectives.csv lacks. It has 2nd choice, click, like, positive, view',
        "event type view has weight 0 and would teach view nothing",
        "no event type counts for objective like, which weighs 0.5",
    ):
        assert wrong in str(error.value)
