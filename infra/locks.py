"""Locks between processes of one machine. The operating system frees the lock of a process that ends, however it ends."""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)

POLL = 0.2  # seconds between two attempts


class LockedError(RuntimeError):
    """Another process holds the lock; the message names it."""


@contextmanager
def hold(path: Path, what: str, *, shared: bool = False, wait: float = 0) -> Iterator[None]:
    """Hold the lock file ``path`` to the end of the block: alone, or together with others that hold it ``shared``.

    Args:
        path: The lock file. It is made where it is not there, and stays.
        what: What the holder does, in words for whoever has to wait for it.
        shared: Whether others may hold the lock ``shared`` at the same time.
        wait: Seconds to wait for those who hold it.

    Raises:
        LockedError: Somebody still holds the lock after ``wait`` seconds. The message names the holder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o664)
    try:
        _acquire(descriptor, path, shared=shared, wait=wait)
        _write_note(descriptor, "" if shared else f"process {os.getpid()} ({what}) since {datetime.now(UTC):%F %T} UTC")
        try:
            yield
        finally:
            if not shared:
                _write_note(descriptor, "")
    finally:
        os.close(descriptor)  # frees the lock


def _acquire(descriptor: int, path: Path, *, shared: bool, wait: float) -> None:
    """Lock the file; the first failed attempt is logged, so that a task that waits does not look as if it hung."""
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + wait
    told = False
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = _holder(descriptor)
        if time.monotonic() >= deadline:
            raise LockedError(f"{path} is locked by {holder}")
        if not told:
            log.info(f"waiting up to {wait:.0f} s for {path.name}, which is locked by {holder}")
            told = True
        time.sleep(POLL)


def _holder(descriptor: int) -> str:
    """The process that holds the lock alone, as its note says. Processes that share a lock leave no note."""
    return os.pread(descriptor, 1000, 0).decode(errors="replace") or "another process"


def _write_note(descriptor: int, note: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, note.encode(), 0)
