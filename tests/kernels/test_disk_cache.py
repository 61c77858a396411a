"""Compiled kernels are kept apart by the version of their sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import milk_np
from milk_np.kernels.cpu import disk_cache

PROGRAM = """
import numpy as np
from milk_np.kernels import cpu
from milk_np.kernels.cpu import disk_cache
table = np.full(9, -1, np.int32)
print(disk_cache.folder())
print(cpu.group(np.array([5, 2, 5], np.int32), table).unique.tolist())
"""


def run(cache, packages=None):
    path = {} if packages is None else {"PYTHONPATH": str(packages)}
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **path}
    command = [sys.executable, "-P", "-c", PROGRAM]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split("\n")


def test_other_sources_get_another_folder(tmp_path):
    """A constant that a kernel takes from another file changes: code compiled before must not be used."""
    package = Path(milk_np.__file__).parent
    shutil.copytree(package, tmp_path / "site" / "milk_np", ignore=shutil.ignore_patterns("__pycache__"))
    copy = tmp_path / "site" / "milk_np" / "kernels"
    if not copy.exists():
        shutil.copytree(disk_cache.KERNELS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    first = run(tmp_path / "cache", tmp_path / "site")
    reference = copy / "reference" / "adam.py"
    reference.write_text(reference.read_text().replace("BETA1 = 0.9\n", "BETA1 = 0.8\n"))
    second = run(tmp_path / "cache", tmp_path / "site")
    assert first[1] == second[1] == "[5, 2]"
    assert first[0] != second[0]
    assert all(any(Path(folder).rglob("*.nbi")) for folder in (first[0], second[0]))


def test_another_processor_is_compiled_for_anew(tmp_path, monkeypatch):
    """Code for the processor at hand, which may be illegal on the one that NUMBA_CPU_NAME names, isn't taken for it."""
    code = []
    for cpu in (None, "generic", None, "generic"):
        if cpu is not None:
            monkeypatch.setenv("NUMBA_CPU_NAME", cpu)
        assert run(tmp_path)[1] == "[5, 2]"
        monkeypatch.undo()
        code.append(set(tmp_path.rglob("*.nbc")))
    assert code[0] < code[1] == code[2] == code[3]
    assert len(code[1]) == 2 * len(code[0])


def test_works_where_nothing_can_be_kept(tmp_path):
    """A cache folder that can't be made, here because a file stands in its place: Numba's own choice is taken."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "milk_np").write_text("in the way")
    assert run(tmp_path / "cache")[1] == "[5, 2]"


def test_other_numba_code_keeps_its_folder():
    import numba

    assert os.environ.get("NUMBA_CACHE_DIR", "") == numba.config.CACHE_DIR
