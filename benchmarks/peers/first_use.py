"""`milk-train` from an empty cache of compiled kernels, with a clock: `first_use.py HELPERS OUT [OPTION ...]`.

Ends after the first training step, or at the end of a closed form's fit. The last line of the error stream is JSON:
`wall` and `cpu` seconds of this process so far, `phases` (wall, cpu), `kernels`: CPU seconds that it compiled each, and
`ran`: what its libraries really ran.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
STARTED = time.perf_counter(), time.process_time()
SINCE = time.monotonic()
phases: dict[str, tuple[float, float]] = {}
kernels: dict[str, float] = {}


def mark(name: str) -> None:
    """Keep the time of the end of a phase."""
    phases[name] = time.perf_counter() - STARTED[0], time.process_time()


def stop() -> NoReturn:
    """Report and end, without the interpreter's tidying up."""
    mark("first step, or fitted")
    wall, cpu = phases["first step, or fitted"]
    from ran import instructions  # after the clock has stopped

    told = {"wall": wall, "cpu": cpu, "phases": phases, "kernels": kernels, "ran": instructions(SINCE)}
    os.write(2, f"\nfirst use {json.dumps(told)}\n".encode())
    os._exit(0)


def listen() -> None:
    """Have Numba tell what it compiles, what is compiled for it included."""
    from numba.core import event

    class Listener(event.Listener):
        begun: list[float] = []  # noqa: RUF012 - one listener

        def on_start(self, told: Any) -> None:
            self.begun.append(time.process_time())

        def on_end(self, told: Any) -> None:
            taken = time.process_time() - self.begun.pop()
            if not self.begun:
                function = told.data["dispatcher"].py_func
                name = f"{function.__module__.split('.')[-1]}.{function.__name__}"
                kernels[name] = kernels.get(name, 0.0) + taken

    event.register("numba:compile", Listener())


def main(helpers: str, out: str, *options: str) -> None:
    """The command, stopped early."""
    from milk_np.cli import train
    from milk_np.machine.threads import prepare

    prepare()
    listen()
    from milk_np.kernels.cpu import ahead
    from milk_np.models.extractors.trainer import TripletTrainer
    from milk_np.models.kernel_profile.model import KernelProfile

    mark("imported")
    ahead.MOST = int(helpers)
    TripletTrainer.step = stopping(TripletTrainer.step)
    KernelProfile.fit = stopping(KernelProfile.fit)
    train.main(["--out", out, "--quiet", *options])


def stopping(method: Any) -> Any:
    """The method, and then the end of the process."""

    def call(*args: Any, **how: Any) -> NoReturn:
        mark("data and checks")
        method(*args, **how)
        stop()

    return call


if __name__ == "__main__":
    main(*sys.argv[1:])
