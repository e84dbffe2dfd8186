"""What the machine, or the container, gives this process."""

import os
from pathlib import Path

# of the control group that a container runs in, version 2 and 1
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory(limits: tuple[Path, ...] = LIMITS) -> int:
    """Bytes of memory: what the machine has, or what its container may use if that is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in limits:
        if limit.exists() and (text := limit.read_text().strip()).isdecimal():  # "max": no limit
            found.append(int(text))
    return min(found)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
