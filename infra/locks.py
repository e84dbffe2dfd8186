"""Locks between processes of one machine. The operating system frees the lock of a process that ends, however it ends.

A process may hand its lock on to a process that it starts (`inherited`). Then the lock is held until both have ended, so that
whoever does the work holds it also when the one that started it is killed.
"""

import fcntl
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)

POLL = 0.2  # seconds between two attempts


class LockedError(RuntimeError):
    """Another process holds the lock; the message names it."""


@contextmanager
def hold(path: Path, what: str, *, shared: bool = False, wait: float = 0) -> Iterator[int]:
    """Hold the lock file ``path`` to the end of the block: alone, or together with others that hold it ``shared``.

    Yields the open file to which the lock belongs. A process that gets it (`subprocess.Popen(pass_fds=...)`) holds the lock too.

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
        note = "" if shared else _note(what)
        _write_note(descriptor, note)
        try:
            yield descriptor
        finally:
            if note and _read_note(descriptor) == note:  # else the process that inherited the lock has written its own
                _write_note(descriptor, "")
    finally:
        os.close(descriptor)  # frees the lock


def inherited(descriptor: int, what: str) -> None:
    """Take over a lock that the process before this one opened and handed on: from now on, who waits is told of this process.

    The lock is this process's own too, to its end. It is not handed on to further processes.
    """
    os.set_inheritable(descriptor, False)
    _write_note(descriptor, _note(what))


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
            holder = _holder(descriptor, path)
        if time.monotonic() >= deadline:
            raise LockedError(f"{path} is locked by {holder}")
        if not told:
            log.info(f"waiting up to {wait:.0f} s for {path.name}, which is locked by {holder}")
            told = True
        time.sleep(POLL)


def _holder(descriptor: int, path: Path) -> str:
    """The process that holds the lock alone, as its note says. Processes that share a lock leave no note.

    Where the process of the note is gone, those that it started and handed the lock to still run: then these are named.
    """
    note = _read_note(descriptor)
    writer = re.match(r"process (\d+) ", note)
    if writer is None or _exists(int(writer[1])):
        return note or "another process"
    heirs = ", ".join(str(pid) for pid in _with_open(path)) or "unknown"
    return f"processes that {note} started before it ended: {heirs}"


def _with_open(path: Path) -> list[int]:
    """The other processes that have the file open, as far as this system shows them to us."""
    wanted, found = str(path.resolve()), set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # a process that ended, or is not ours
            if os.readlink(link) == wanted:
                found.add(int(link.parts[2]))
    return sorted(found - {os.getpid()})


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _note(what: str) -> str:
    return f"process {os.getpid()} ({what}) since {datetime.now(UTC):%F %T} UTC"


def _read_note(descriptor: int) -> str:
    return os.pread(descriptor, 1000, 0).decode(errors="replace")


def _write_note(descriptor: int, note: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, note.encode(), 0)
