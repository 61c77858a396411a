"""Fuzzing led by coverage: bytes decide every choice of a change, and Atheris keeps those that reach new code."""

from __future__ import annotations

import os
import random
import sys
from types import FunctionType
from typing import Any


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


def run(bench: Any, seconds: float, seed: int) -> int:
    """Fuzz a bench's kind; Atheris ends the process, with 77 if anything was wrong."""
    import atheris

    for module in [module for name, module in sys.modules.items() if name.startswith("milk_np")]:
        for value in list(vars(module).values()):
            if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                atheris.instrument_func(value)

    def one(data: bytes) -> None:
        if found := bench.wrong(bench.kind.change(Choices(data), bench.files)):
            print(found, file=sys.stderr)
            raise AssertionError(found)

    options = [
        f"-max_total_time={int(seconds)}",
        f"-seed={seed + 1}",
        "-max_len=256",
        "-timeout=30",
        "-rss_limit_mb=4096",
    ]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={os.getcwd()}/"], one)
    atheris.Fuzz()
    return 0
