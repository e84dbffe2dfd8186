"""The progress of a night: what the process that runs it writes is what a person sees."""

import logging
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from dags.cli.progress import ProgressWriter, show_progress


def test_what_is_written_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "progress"
    writer = ProgressWriter(file)
    logger = logging.Logger("dags.steps")
    logger.addHandler(writer)
    writer.write("task", "train")
    logger.info("version 1 learned from 7 [seven] examples")
    logger.debug("epoch 1")
    logger.warning("nothing to learn\nfrom shop")
    writer.write("done", "train  1.0 s")
    for task in ("evaluate", "score"):
        writer.write("failed", task)
        writer.write("error", f"{task} has nothing to read")
    console = Console(width=200, record=True, file=(tmp_path / "screen").open("w"))
    failed = show_progress(file, subprocess.Popen([sys.executable, "-c", ""]), console)
    assert failed == "evaluate"
    assert [line.rstrip() for line in console.export_text().splitlines()] == [
        "      version 1 learned from 7 [seven] examples",
        "    ! nothing to learn",
        "    ! from shop",
        "  ✓ train  1.0 s",
        "  ✗ evaluate",
        "      evaluate has nothing to read",
        "  ✗ score",
        "      score has nothing to read",
    ]
    assert "tick\tepoch 1\n" in file.read_text()
