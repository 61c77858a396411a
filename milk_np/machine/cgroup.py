"""Limits that a container or batch system sets on this process: its control groups' CPU quota and memory."""

from __future__ import annotations

import math
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def cgroup_cores(root: Path = ROOT, own: Path = OWN) -> float:
    """Smallest CPU quota of this process's control group and its parents, in cores; inf without one."""
    return min((_quota(folder) for folder in cgroup_folders(root, own, "cpu")), default=math.inf)


def cgroup_memory(root: Path = ROOT, own: Path = OWN) -> float:
    """Bytes that this process may still allocate, the smallest of its control groups; inf without a limit."""
    return min((_headroom(folder) for folder in cgroup_folders(root, own, "memory")), default=math.inf)


def cgroup_folders(root: Path, own: Path, controller: str) -> list[Path]:
    """Folders of this process's control group and its parents, for version 2 and for one of version 1.

    Inside a container the group's own path may not be mounted; the roots then describe it.
    """
    folders = [root, root / controller]
    for line in read(own).splitlines():
        _, names, group = (*line.split(":", 2), "", "")[:3]
        if (names and controller not in names.split(",")) or not group:
            continue
        for base in (root / controller, root / names) if names else (root,):  # mounted by one name, or all together
            path = base / group.lstrip("/")
            folders += [path, *(parent for parent in path.parents if parent.is_relative_to(base))]
    return folders


def _quota(folder: Path) -> float:
    """CPU quota of one control group in cores, in either version's files."""
    quota, _, period = read(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")
    allowed, of = _number(quota), _number(period)
    return allowed / of if allowed and of else math.inf


def _headroom(folder: Path) -> float:
    """Limit minus use of one control group; file pages that the kernel can drop don't count as used."""
    limit = _number(read(folder / "memory.max") or read(folder / "memory.limit_in_bytes"))
    used = _number(read(folder / "memory.current") or read(folder / "memory.usage_in_bytes"))
    if limit is None or used is None:
        return math.inf
    fields = dict(line.split(" ", 1) for line in read(folder / "memory.stat").splitlines() if " " in line)
    droppable = _number(fields.get("total_inactive_file") or fields.get("inactive_file", ""))
    return max(0, limit - used + (droppable or 0))


def _number(text: str) -> int | None:
    """A number as the kernel writes it, below 2^64; None of anything else, such as max."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 21 else None


def read(path: Path) -> str:
    """Text of a small file without surrounding whitespace; empty if it can't be read."""
    try:
        return path.read_text().strip()
    except (OSError, ValueError):  # a name with a zero byte, or no text
        return ""
