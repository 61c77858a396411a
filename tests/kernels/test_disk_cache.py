"""Compiled kernels are kept apart by the version of their sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numba
import pytest

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


def test_works_where_nothing_can_be_kept(tmp_path, monkeypatch):
    """A cache folder that can't be made, here because a file stands in its place, and no temporary one either."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "milk_np").write_text("in the way")
    (tmp_path / f"milk_np-{os.geteuid()}").write_text("in the way too")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("HOME", raising=False)
    assert run(tmp_path / "cache")[1] == "[5, 2]"
    assert not any(tmp_path.rglob("*.nbi"))


def test_a_private_temporary_folder_stands_in(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("in the way")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    assert run(tmp_path / "cache")[1] == "[5, 2]"
    private = tmp_path / "tmp" / f"milk_np-{os.geteuid()}"
    assert any(private.rglob("*.nbc"))
    assert private.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("others", [True, False])
def test_a_folder_that_others_prepared_is_not_used(tmp_path, monkeypatch, others):
    """One that they can write to, or a link to one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    private = tmp_path / f"milk_np-{os.geteuid()}"
    if others:
        private.mkdir()
        private.chmod(0o777)
    else:
        (tmp_path / "elsewhere").mkdir()
        private.symlink_to("elsewhere")
    assert disk_cache._private_folder() is None


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("keep", ["none", "half", "flipped"])
def test_torn_and_damaged_files_are_compiled_anew(tmp_path, kind, keep):
    assert run(tmp_path)[1] == "[5, 2]"
    whole = {path: path.read_bytes() for path in tmp_path.rglob(f"*.{kind}")}
    assert whole
    for path, content in whole.items():
        flipped = content[:-90] + bytes([content[-90] ^ 4]) + content[-89:]
        path.write_bytes({"none": b"", "half": content[: len(content) // 2], "flipped": flipped}[keep])
    assert run(tmp_path)[1] == "[5, 2]"
    assert all(path.stat().st_size > len(content) // 2 for path, content in whole.items())


def test_a_full_cache_that_can_only_be_read_is_read(tmp_path, monkeypatch):
    """Also by root, whom permissions don't stop: writing is refused here."""
    assert run(tmp_path)[1] == "[5, 2]"
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(disk_cache, "_writable", lambda _path: False)
    assert disk_cache.place() == disk_cache.folder()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "empty"))
    assert disk_cache.place() is None


def test_other_numba_code_keeps_its_folder():
    import numba

    assert os.environ.get("NUMBA_CACHE_DIR", "") == numba.config.CACHE_DIR
