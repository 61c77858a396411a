"""milk-doctor: what is installed, how the machine is used, whether the GPU works, and a check of the gradients."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from milk_np.backends import driver as devices
from milk_np.cli.common import EXIT_UNEXPECTED, run_command
from milk_np.cli.parser import Parser, add_settings
from milk_np.machine import memory, threads
from milk_np.machine.environment import CORE, kernel_cache, versions
from milk_np.machine.processor import cpu_name
from milk_np.text import VERSION, bytes_text

DESCRIPTION = "Check what is installed, how the machine is used, whether the GPU works, and the gradients."
State = Literal["ok", "--", "!!"]
GRADIENT_LIMIT = 1e-7

EXTRAS = {
    "parquet": ("pyarrow", "Parquet files"),
    "progress": ("tqdm", "progress bar"),
    "tune": ("optuna", "milk-tune --search optuna"),
    "mpi": ("mpi4py", "milk-train on several processes, started by mpiexec"),
}
EXAMPLES = ("milk-doctor", "milk-doctor --threads 2      # check with two threads")


@dataclass(frozen=True)
class Finding:
    """One line of the report: ok, -- (missing, not needed) or !! (does not work)."""

    state: State
    what: str
    text: str


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `milk-doctor`; returns the exit code."""
    return run_command("milk-doctor", _run, argv)


def _run(line: list[str]) -> int:
    parser = Parser("milk-doctor", DESCRIPTION, EXAMPLES)
    add_settings(parser, ["threads"])
    parser.parse_args(line)
    broken = 0
    for title, section in SECTIONS:
        print(title)
        for finding in section():
            broken += finding.state == "!!"
            print(f"  {finding.state}  {finding.what:<25} {finding.text}", flush=True)
        if section is _libraries and broken:
            break  # the rest needs them
    print(f"{_count(broken, 'problem')}; see the lines marked !!" if broken else "Everything needed works.")
    return EXIT_UNEXPECTED if broken else 0


def _machine() -> Iterator[Finding]:
    yield Finding("ok", "milk_np", f"{VERSION} in {Path(__file__).parents[1]}")
    yield Finding("ok", "Python", f"{sys.version.split()[0]} ({sys.executable})")
    yield Finding("ok", "processor", f"{cpu_name()}, {_count(threads.allowed_cores(), 'core')} available")
    yield Finding("ok", "memory", f"{bytes_text(memory.available_bytes())} available")


def _libraries() -> Iterator[Finding]:
    found = versions(CORE)
    for name in CORE:
        yield Finding("ok", name, found[name]) if name in found else Finding("!!", name, "not installed")
    for extra, (name, use) in EXTRAS.items():
        version = versions([name])
        missing = f'not installed, needed for: {use}; pip install "milk-np[{extra}]"'
        yield Finding("ok", name, f"{version[name]} ({use})") if version else Finding("--", name, missing)


def _mpi() -> Iterator[Finding]:
    """The MPI that mpi4py loads, and how arrays of a GPU would travel; MPI isn't started."""
    from milk_np.ranks.launch import launcher
    from milk_np.ranks.library import library

    found = library()
    if found.problem is not None:
        yield Finding("--", "MPI", found.problem)
        return
    yield Finding("ok", "MPI", found.name)
    start = launcher()
    yield Finding("ok" if start else "--", "mpiexec", str(start) if start else "not found; install the extra mpi")
    how = "are sent as they are" if found.cuda else "travel through pinned memory of the host: MPI isn't CUDA-aware"
    yield Finding("ok", "arrays of a GPU", how)


def _threads() -> Iterator[Finding]:
    yield from _blas()
    import milk_np.kernels.cpu as cpu  # the first use of Numba: everything before this line works without it

    yield _run_a_kernel(cpu)
    yield _layer()
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    soon = f"idle threads sleep after at most {os.environ.get('GOMP_SPINCOUNT', '0')} spins"
    idle = soon if policy.upper() == "PASSIVE" else "idle threads may spin and slow down BLAS"
    yield Finding("ok" if policy.upper() == "PASSIVE" else "--", "OMP_WAIT_POLICY", f"{policy}: {idle}")
    yield _cache()


def _blas() -> Iterator[Finding]:
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        from milk_np.machine.environment import blas_name

        asked = os.environ.get("OPENBLAS_NUM_THREADS")
        count = "default number of threads" if asked is None else f"{_count(int(asked), 'thread')} requested"
        yield Finding("ok", "BLAS", f"{blas_name()}, {count}")
        return
    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            name = f"{pool['internal_api']} {pool['version']} ({pool.get('architecture', 'unknown')})"
            yield Finding("ok", "BLAS", f"{name}, {_count(pool['num_threads'], 'thread')}")


def _run_a_kernel(cpu: Any) -> Finding:
    import numpy as np

    rows = np.eye(4, dtype=np.float32)
    start = time.perf_counter()
    index, _ = cpu.top_k(rows, rows, 1, None, None)
    seconds = time.perf_counter() - start
    right = index[:, 0].tolist() == [0, 1, 2, 3]
    return Finding("ok" if right else "!!", "Numba kernel", f"ran in {seconds:.1f} s, including compiling or loading")


def _layer() -> Finding:
    import numba

    return Finding(
        "ok", "Numba threads", f"{_count(numba.get_num_threads(), 'thread')}, layer {numba.threading_layer()}"
    )


def _cache() -> Finding:
    """Where compiled kernels are kept; without such a place every process compiles them again."""
    path = kernel_cache()
    if path is None:
        return Finding("--", "kernel cache", "none: kernels are compiled at every start; set NUMBA_CACHE_DIR")
    if os.access(path, os.W_OK) or os.access(path.parent, os.W_OK):
        return Finding("ok", "kernel cache", str(path))
    return Finding("--", "kernel cache", f"can't write to {path}; set NUMBA_CACHE_DIR to another folder")


def _gpu() -> Iterator[Finding]:
    """The GPU if it works; otherwise the driver, CuPy and the reason that it can't be used."""
    from milk_np.backends.select import get_backend
    from milk_np.errors import DeviceError

    found = devices.cupy_distributions()
    try:
        get_backend("gpu")
    except DeviceError as error:
        driver, cupy = devices.driver_problem(), devices.cupy_problem()
        names = f"found {', '.join(devices.device_names())}"
        yield Finding("--" if driver else "ok", "driver", driver or names)
        yield Finding("--" if cupy else "ok", "CuPy", cupy or ", ".join(found))
        yield Finding("--", "--device gpu", str(error).removeprefix("--device gpu: "))
        return
    from milk_np.backends.cupy import description

    yield Finding("ok", "CuPy", ", ".join(found))
    yield Finding("ok", "--device gpu", description())


def _gradients() -> Iterator[Finding]:
    from milk_np.models.milk.proof import prove

    start = time.perf_counter()
    for name, error in prove():
        state: State = "ok" if error < GRADIENT_LIMIT else "!!"
        yield Finding(state, name, f"relative error {error:.1e} (limit {GRADIENT_LIMIT:.0e})")
    yield Finding("ok", "time", f"{time.perf_counter() - start:.1f} s")


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


SECTIONS: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("Machine", _machine),
    ("Libraries", _libraries),
    ("Threads", _threads),
    ("GPU", _gpu),
    ("Several processes", _mpi),
    ("Gradients compared with finite differences (float64)", _gradients),
)


if __name__ == "__main__":
    sys.exit(main())
