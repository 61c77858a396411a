"""What the libraries of a process really ran: the processors and vector instructions that they chose.

A library may ignore a variable. So each is asked what it chose, and Linux is asked whether a thread has used AVX-512:
it notes the time whenever a thread with such registers in use leaves a core.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
ALONE = 1.1  # wall time over CPU time up to which a core was one's own
SLACK_MS = 20  # the system counts in hundredths or 250ths of a second


def instructions(since: float) -> dict[str, Any]:
    """What each loaded library chose; `AVX-512`: whether a thread used it after `since` (of time.monotonic)."""
    asked = {"numba": _numba, "torch": _torch, "faiss": _faiss, "threadpoolctl": _pools}
    _import_threadpoolctl()
    found = {name: ask(sys.modules[name]) for name, ask in asked.items() if name in sys.modules}
    return found | {"AVX-512": used_avx512(since)}


def used_avx512(since: float, tasks: Path = Path("/proc/self/task")) -> bool | None:
    """Whether a thread of this process has used AVX-512 since then; None where the system won't say."""
    elapsed = [_elapsed(task / "arch_status") for task in tasks.iterdir()] if tasks.is_dir() else []
    told = [each for each in elapsed if each is not None]
    age = 1e3 * (time.monotonic() - since)
    return any(0 <= each < age - SLACK_MS for each in told) if told else None


def _elapsed(path: Path) -> int | None:
    """Milliseconds since a thread used AVX-512, -1 if it never did."""
    try:
        text = path.read_text()
    except OSError:
        return None
    return int(text.split()[1]) if text.startswith("AVX512_elapsed_ms:") else None


def held(isa: str, found: dict[str, Any]) -> list[str]:
    """What a process did that `isa` doesn't have, in words; what can't be known is no breach."""
    if isa == "native":
        return []
    wrong = ["a thread used AVX-512"] if found["AVX-512"] else []
    for name, chosen in found.items():
        if name != "AVX-512" and any(word in str(chosen).lower() for word in ("512", "skylakex")):
            wrong.append(f"{name} chose {chosen}")
    return wrong


def _import_threadpoolctl() -> None:
    with suppress(ImportError):
        import threadpoolctl  # noqa: F401


def _numba(_: Any) -> str:
    """Processor that kernels are compiled for, and the width of their vectors."""
    from numba.core.registry import cpu_target

    name = str(cpu_target.target_context.codegen().magic_tuple()[1])
    vectors = sys.modules.get("milk_np.kernels.cpu.vectors")
    return name if vectors is None else f"{name}, vectors of {64 if vectors.WIDE else 32} bytes"


def _torch(torch: Any) -> str:
    return str(torch.backends.cpu.get_cpu_capability())


def _faiss(faiss: Any) -> str:
    """The level that it chose; before it had one, the module that its loader took."""
    if hasattr(faiss, "SIMDConfig"):
        return str(faiss.to_string(faiss.SIMDConfig.get_level()))
    return ", ".join(sorted(name for name in sys.modules if name.startswith("faiss.swigfaiss")))


def _pools(threadpoolctl: Any) -> list[str]:
    """Every BLAS with the processor whose kernels it runs."""
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return sorted(f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip() for pool in pools)


def caches(folder: Path = CACHES) -> dict[str, str]:
    """Sizes of a core's caches by level, as the system gives them: {"L1d": "48K", ...}."""
    found = {}
    for index in sorted(folder.glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        found[f"L{level}{ {'Data': 'd', 'Instruction': 'i'}.get(kind, '') }"] = size
    return found


def clock(chain: Callable[[int, int], int] | None = None, tries: int = 400, steps: int = 500_000) -> dict[str, Any]:
    """`clock_ghz` of a busy core, or None with the reason in `clock_left_out`.

    A chain of multiplications and additions takes 4 cycles a step on all x86_64 processors. A try takes less than a
    millisecond of CPU time: in wall time, a core that others use too looks like a slow one. The best of many counts,
    as a core needs some milliseconds of work to leave its idle frequency; those that were interrupted don't.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return {"clock_ghz": None, "clock_left_out": f"no chain of known length for {platform.machine()}"}
    run, alone = chain or _chain(), []
    for _ in range(tries):
        wall, cpu = time.perf_counter(), time.thread_time()
        run(3, steps)
        cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
        if wall <= ALONE * cpu:
            alone.append(cpu)
    if not alone:
        return {"clock_ghz": None, "clock_left_out": f"the core was shared in all of {tries} tries"}
    return {"clock_ghz": round(4e-9 * steps / min(alone), 2)}


def _chain() -> Callable[[int, int], int]:
    from numba import njit

    def chain(x: int, n: int) -> int:
        for step in range(n):
            x = x * x + step
        return x

    compiled: Callable[[int, int], int] = njit("uint64(uint64, int64)")(chain)
    return compiled
