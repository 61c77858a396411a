"""Lists from four threads under each of Numba's threading layers: TBB, OpenMP, its own workqueue."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from milk_np.data import make_synthetic
from milk_np.models.kernel_profile.model import KernelProfile

POOLS = {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}
LISTS = """
import os, sys, threading
import numpy as np
from milk_np.models.stored import load
model = load(sys.argv[1])
wrong, start = [], threading.Barrier(4)
queries = [np.arange(number, 40, 4) for number in range(4)]

def lists(number):
    return model.recommend(queries[number], 5, candidates="all").found

def work(number):
    start.wait()
    found = [lists(number) for _ in range(20)]
    if any(not np.array_equal(each, expected[number]) for each in found):
        wrong.append(number)

if sys.argv[2] == "warm":
    model.recommend(queries[0], 5, candidates="all")
expected = [np.array(each) for each in np.load(sys.argv[3])]
threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
import numba
print(numba.threading_layer(), wrong)
sys.stdout.flush()
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(lists(0), expected[0]) else 5)
print(os.waitpid(child, 0)[1])
"""


def tbb_folder() -> str:
    """The folder of TBB's library, which pip puts where the system doesn't look for it; skips where it isn't."""
    try:
        found = [Path(str(file.locate())).resolve() for file in files("tbb") or () if file.name == "libtbb.so.12"]
    except PackageNotFoundError:
        pytest.skip("tbb is not installed")
    if not found:
        pytest.skip("tbb has no libtbb.so.12 for this system")
    return str(found[0].parent)


def environment(layer: str) -> dict[str, str]:
    """Variables for a process that has this layer, and two threads."""
    chosen = {**os.environ, "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"}
    if find_spec(f"numba.np.ufunc.{POOLS[layer]}") is None:
        pytest.skip(f"this Numba was built without {layer}")
    if layer == "tbb":
        chosen["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, (tbb_folder(), os.environ.get("LD_LIBRARY_PATH"))))
    return chosen


@pytest.mark.parametrize("first", ["cold", "warm"])
@pytest.mark.parametrize("layer", list(POOLS))
def test_lists_from_four_threads_and_after_a_fork(tmp_path: Path, layer: str, first: str) -> None:
    chosen, path = environment(layer), tmp_path / "model.npz"
    model = KernelProfile().fit(make_synthetic(40, 80, 700, {"image": 5, "text": 4}, new_items=0.5, seed=3))
    model.save(path)
    expected = [model.recommend(np.arange(number, 40, 4), 5, candidates="all").found for number in range(4)]
    np.save(tmp_path / "expected.npy", np.array(expected))
    line = [sys.executable, "-c", LISTS, str(path), first, str(tmp_path / "expected.npy")]
    done = subprocess.run(line, env=chosen, capture_output=True, text=True, check=False, timeout=300)
    said = done.stdout.splitlines()  # between the two lines Numba may say that TBB was forked
    assert (done.returncode, said[0], said[-1]) == (0, f"{layer} []", "0"), done.stderr
