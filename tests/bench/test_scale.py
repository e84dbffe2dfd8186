"""The benchmark of size: what it reads of a night's progress, and the figures it makes of nights."""

from pathlib import Path

from tests.bench.scale import Night, _exported, _seconds, _step, figures, plot

PROGRESS = """task\topen_night
done\topen_night  0.2 s
task\textract [market]
fact\tmarket.events: 9 rows
done\textract [market]  1.0 s
task\textract [cinema]
done\textract [cinema]  2.5 s
task\tstage
"""


def night(millions: float, which: str, total: float, peak: float, failed: str = "") -> Night:
    return Night(millions, which, total, peak, {"stage": total / 2, "train": total / 4}, {"stage": peak}, failed)


def test_steps_are_read_from_the_progress_of_a_night(tmp_path: Path) -> None:
    progress = tmp_path / "night.progress"
    assert _step(progress) == ""
    assert _seconds(progress) == {}
    progress.write_text(PROGRESS)
    assert _step(progress) == "stage"
    assert _seconds(progress) == {"open_night": 0.2, "extract": 3.5}


def test_addresses_are_read_from_the_script(tmp_path: Path) -> None:
    (tmp_path / "environment.sh").write_text(
        "export CROSSREC_DBT_PROJECT='/a b/dbt_project'\nexport CROSSREC_X_URL='file:///x'\n"
    )
    assert _exported(tmp_path / "environment.sh") == {
        "CROSSREC_DBT_PROJECT": "/a b/dbt_project",
        "CROSSREC_X_URL": "file:///x",
    }


def test_growth_is_of_ten_times_the_events_and_a_red_night_says_where(tmp_path: Path) -> None:
    nights = [
        night(1, "first", 60, 2),
        night(1, "second", 20, 1),
        night(10, "first", 720, 7),
        night(10, "second", 9, 1, "build_marts"),
    ]
    rows = {row.metric: row for row in figures(nights)}
    assert rows["first night, from 1 to 10 million events: time"].value == 12
    assert rows["first night, from 1 to 10 million events: time"].met is False
    assert rows["first night, from 1 to 10 million events: memory"].value == 3.5
    assert not any(metric.startswith("second night, from") for metric in rows)
    assert rows["10 million events, second night"].peer == "red at build_marts"
    assert rows["10 million events, first night"].peer == "stage 360 s, train 180 s"
    assert rows["10 million events, first night"].met is True
    assert rows["10 million events, first night, peak memory"].met is True
    plot(nights, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").stat().st_size > 10_000
