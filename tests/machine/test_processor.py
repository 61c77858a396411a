"""Whether OpenBLAS is told of vectors that it doesn't find by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from milk_np.machine import processor

FLAGS = "fpu avx avx2 avx512f avx512dq avx512cd avx512bw avx512vl"


def cpuinfo(folder: Path, vendor: str = "AuthenticAMD", flags: str = FLAGS) -> Path:
    path = folder / "cpuinfo"
    path.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    return path


@pytest.mark.parametrize(
    ("vendor", "flags", "environment", "expected"),
    [
        ("AuthenticAMD", FLAGS, {}, True),
        ("GenuineIntel", FLAGS, {}, False),
        ("AuthenticAMD", FLAGS.replace("avx512vl", ""), {}, False),
        ("AuthenticAMD", "fpu avx avx2", {}, False),
        ("AuthenticAMD", FLAGS, {"OPENBLAS_CORETYPE": "Haswell"}, False),
        ("AuthenticAMD", FLAGS, {"NUMBA_CPU_NAME": "znver3"}, False),
    ],
)
def test_of_whom_it_is_said(
    tmp_path: Path, vendor: str, flags: str, environment: dict[str, str], expected: bool
) -> None:
    assert processor.is_taken_for_less(environment, cpuinfo(tmp_path, vendor, flags)) is expected
    assert not processor.is_taken_for_less({}, tmp_path / "absent")


def test_nothing_is_said_once_numpy_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    processor.use_wide_vectors(cpuinfo(tmp_path))
    assert os.environ == {}
    monkeypatch.delitem(sys.modules, "numpy")
    processor.use_wide_vectors(cpuinfo(tmp_path))
    assert os.environ == {"OPENBLAS_CORETYPE": processor.WIDE_CORE}


@pytest.mark.skipif(not processor.is_taken_for_less({}), reason="OpenBLAS knows this processor")
def test_openblas_takes_it() -> None:
    pytest.importorskip("threadpoolctl")
    code = (
        "from milk_np.machine import threads; threads.prepare([]); import json, numpy, threadpoolctl; "
        "print(json.dumps([each['architecture'] for each in threadpoolctl.threadpool_info()]))"
    )
    clean = {name: value for name, value in os.environ.items() if name not in processor.KINDS}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == {processor.WIDE_CORE}
