"""What this process may use of the machine: its memory and its cores, as a container limits them."""

import os
from math import ceil
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
"""Where the kernel tells a container its limits. Source: the kernel's documents, admin-guide/cgroup-v2 and -v1."""


def memory_bytes(cgroup: Path = _CGROUP) -> int:
    """The memory of this machine, or of the container that this process runs in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [_words(cgroup / name) for name in ("memory.max", "memory/memory.limit_in_bytes")]
    return min([total, *(int(words[0]) for words in limits if words[0].isdecimal())])


def cores(cgroup: Path = _CGROUP) -> int:
    """The cores that this process may run on, a container's share of them rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period = (*_words(cgroup / "cpu.max"), "")[:2]
    if not quota.isdecimal() or not period.isdecimal():
        quota = _words(cgroup / "cpu/cpu.cfs_quota_us")[0]
        period = _words(cgroup / "cpu/cpu.cfs_period_us")[0]
    if quota.isdecimal() and period.isdecimal():
        return max(1, min(allowed, ceil(int(quota) / int(period))))
    return allowed


def _words(path: Path) -> list[str]:
    """The words of a small file; one empty word where there is none."""
    try:
        return path.read_text("ascii").split() or [""]
    except (OSError, UnicodeError):
        return [""]
