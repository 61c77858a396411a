"""Limits of control groups, read from made-up trees of files: both versions, nested, without limits, damaged."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milk_np.machine.cgroup import cgroup_cores, cgroup_memory

GB = 1 << 30
V2 = "0::/job/step\n"
V1 = "9:name=systemd:/\n4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n"


def tree(root: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """The root of the groups and the file that names the process's own, with these contents."""
    groups = root / "cgroup"
    groups.mkdir()
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    (root / "own").write_text(own)
    return groups, root / "own"


def version_2(path: str, **files: str) -> dict[str, str]:
    """Files of a group, _ for a dot."""
    return {f"{path}/{name.replace('_', '.', 1)}": text for name, text in files.items()}


CASES: dict[str, tuple[str, dict[str, str], float, float]] = {
    "own limit": (V2, version_2("job/step", memory_max="3", memory_current="1", cpu_max="50000 100000"), 2, 0.5),
    "the parent's is less": (
        V2,
        {
            **version_2("job", memory_max="900", memory_current="500", cpu_max="150000 100000"),
            **version_2("job/step", memory_max="9000", memory_current="100", cpu_max="400000 100000"),
        },
        400,
        1.5,
    ),
    "max is no limit": (V2, version_2("job/step", memory_max="max", memory_current="5", cpu_max="max 100000"), math.inf,
                        math.inf),
    "no groups": ("", {}, math.inf, math.inf),
    "no files": (V2, {"job/step/cgroup.procs": "1"}, math.inf, math.inf),
    "a limit without its use": (V2, version_2("job/step", memory_max="900"), math.inf, math.inf),
    "above its limit": (V2, version_2("job/step", memory_max="900", memory_current="1000"), 0, math.inf),
    "file pages can be dropped": (
        V2,
        version_2("job/step", memory_max="900", memory_current="800", memory_stat="anon 1\ninactive_file 300\n"),
        400,
        math.inf,
    ),
    "a container that sees its group as the root": (
        "0::/\n",
        {"memory.max": "900", "memory.current": "200", "cpu.max": "200000 100000"},
        700,
        2,
    ),
    "a group outside of the container's root": ("0::/../outer\n", {"memory.max": "9", "memory.current": "2"}, 7,
                                                math.inf),
    "version 1": (
        V1,
        {
            "memory/docker/abc/memory.limit_in_bytes": "900",
            "memory/docker/abc/memory.usage_in_bytes": "300",
            "memory/docker/abc/memory.stat": "inactive_file 1\ntotal_inactive_file 100\n",
            "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "25000",
            "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000",
        },
        700,
        0.25,
    ),
    "version 1 in a container: the group's path isn't there": (
        V1,
        {
            "memory/memory.limit_in_bytes": "900",
            "memory/memory.usage_in_bytes": "300",
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
        },
        600,
        math.inf,
    ),
    "version 1 without a limit": (
        V1,
        {"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "4096"},
        9223372036854771712 - 4096,
        math.inf,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_limits(tmp_path: Path, name: str) -> None:
    own, files, memory, cores = CASES[name]
    found = tree(tmp_path, own, files)
    assert (cgroup_memory(*found), cgroup_cores(*found)) == (memory, cores)


@pytest.mark.parametrize("own", ["x", "0:/", ":::", "0::\x00", "0::" + "/a" * 3000, "\n\n", "0::/job/step\ntorn"])
@pytest.mark.parametrize("stat", ["inactive_file", "inactive_file x", "inactive_file -5", "inactive_file ²", "\x00"])
def test_files_that_say_something_else_are_no_limit(tmp_path: Path, own: str, stat: str) -> None:
    files = version_2("job/step", memory_max="900", memory_current="800", memory_stat=stat, cpu_max="1 2 3")
    found = tree(tmp_path, own, files)
    assert cgroup_memory(*found) in (100, math.inf)
    assert cgroup_cores(*found) == math.inf  # of "1 2 3"


NAMES = ("memory.max", "memory.current", "memory.stat", "cpu.max", "memory.limit_in_bytes", "cpu.cfs_quota_us")
texts = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["max", "0", "-1", "9" * 5000, "max 100000", "100000 0", "0 100000", "inactive_file ١"]),
)


@given(own=st.one_of(texts, st.sampled_from([V1, V2])), files=st.dictionaries(st.sampled_from(NAMES), texts))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_text_gives_a_number(tmp_path_factory: pytest.TempPathFactory, own: str, files: dict[str, str]) -> None:
    own = own.encode(errors="replace").decode()
    clean = {name: text.encode(errors="replace").decode() for name, text in files.items()}
    found = tree(tmp_path_factory.mktemp("groups"), own, {**clean, **{f"job/step/{k}": v for k, v in clean.items()}})
    assert cgroup_memory(*found) >= 0
    assert cgroup_cores(*found) > 0
