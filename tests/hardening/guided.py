"""Fuzzing led by coverage: bytes decide every choice of a change, and Atheris keeps those that reach new code."""

from __future__ import annotations

import mmap
import os
import random
import struct
import sys
import time
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

from forked import Child
from records import Record

WHAT = "cases led by coverage"


class Choices(random.Random):
    """Choices that bytes decide; zeros when there are none left."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._rest = data

    def random(self) -> float:
        return self.getrandbits(16) / (1 << 16)

    def getrandbits(self, k: int) -> int:
        size = (k + 7) // 8
        taken, self._rest = self._rest[:size], self._rest[size:]
        return int.from_bytes(taken.ljust(size, b"\0"), "big") >> (8 * size - k)


def run(bench: Any, seconds: float, seed: int, package: str = "milk_np") -> Record:
    """Fuzz a bench's kind in a process of its own, led by what of a package is reached; ends at the first finding."""
    start, counted = time.perf_counter(), mmap.mmap(-1, 8)
    child = Child(lambda: _fuzz(bench, seconds, seed, package, counted))
    ended = child.end(2 * seconds + 120)
    (count,) = struct.unpack("q", counted[:])
    wrong = [f"{bench.name}, led by coverage: {ended.said[-3000:]}"] if ended.hung or ended.code else []
    return Record("fuzz", {WHAT: count}, wrong, seed, time.perf_counter() - start)


def _fuzz(bench: Any, seconds: float, seed: int, package: str, counted: mmap.mmap) -> None:
    """Atheris ends the process, with another code than 0 if anything was wrong."""
    import atheris

    for function in functions(package):
        atheris.instrument_func(function)
    count = 0

    def one(data: bytes) -> None:
        nonlocal count
        count += 1
        counted[:] = struct.pack("q", count)
        if found := bench.wrong(bench.kind.change(Choices(data), bench.files)):
            print(f"\n{found}", file=sys.stderr, flush=True)
            raise AssertionError(found)

    options = [
        f"-max_total_time={max(1, int(seconds))}",
        f"-seed={seed + 1}",
        "-max_len=256",
        "-timeout=30",
        "-rss_limit_mb=4096",
    ]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={os.getcwd()}/"], one)
    atheris.Fuzz()


def functions(package: str) -> Iterator[FunctionType]:
    """Functions and methods that modules of a package define, as far as they are loaded."""
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f"{package}."):
            yield from _defined(module, module.__name__)


def _defined(where: ModuleType | type, module: str) -> Iterator[FunctionType]:
    for value in list(vars(where).values()):
        if hasattr(value, "py_func"):  # Numba's: what it compiles later would have the coverage in it
            continue
        function = value
        for inner in ("fget", "func", "__func__", "__wrapped__"):  # properties, cached ones, class methods, caches
            function = getattr(function, inner, function)
        if isinstance(function, FunctionType):
            if function.__module__ == module:
                yield function
        elif isinstance(value, type) and value.__module__ == module and value is not where:
            yield from _defined(value, module)
