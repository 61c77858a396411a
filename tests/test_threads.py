"""Triplets, parameters, vectors, lists and metrics have the same bits on 1, 2 and 4 threads, on any machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import processors
import pytest

PROGRAM = Path(__file__).with_name("thread_program.py")
FOUR = dict.fromkeys(("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "4")


@pytest.mark.parametrize("kind", ["", "haswell"])
def test_one_two_and_four_threads_give_the_same_bits(kind: str) -> None:
    if kind and (reason := processors.unfit(kind)):
        pytest.skip(reason)
    environment = os.environ | FOUR | (processors.variables(kind) if kind else {})
    done = subprocess.run([sys.executable, str(PROGRAM)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for line in done.stdout.splitlines():
        threads, content, name = line.split(maxsplit=2)
        found[name][threads] = content
    assert len(found) == 14
    for name, contents in found.items():
        assert contents.keys() == {"1", "2", "4"}
        assert len(set(contents.values())) == 1, f"{name}: {contents}"
