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
        _, names, group = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        base = root / controller if names else root
        path = base / group.lstrip("/")
        folders += [path, *(parent for parent in path.parents if parent.is_relative_to(base))]
    return folders


def _quota(folder: Path) -> float:
    """CPU quota of one control group in cores, in either version's files."""
    quota, _, period = read(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")
    if not quota.isdecimal() or not period.isdecimal() or int(quota) == 0 or int(period) == 0:
        return math.inf
    return int(quota) / int(period)


def _headroom(folder: Path) -> float:
    """Limit minus use of one control group; file pages that the kernel can drop don't count as used."""
    limit = read(folder / "memory.max") or read(folder / "memory.limit_in_bytes")
    used = read(folder / "memory.current") or read(folder / "memory.usage_in_bytes")
    if not limit.isdecimal() or not used.isdecimal():
        return math.inf
    fields = dict(line.split(" ", 1) for line in read(folder / "memory.stat").splitlines() if " " in line)
    droppable = fields.get("total_inactive_file") or fields.get("inactive_file", "0")
    return max(0, int(limit) - int(used) + int(droppable))


def read(path: Path) -> str:
    """Text of a small file without surrounding whitespace; empty if it can't be read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
