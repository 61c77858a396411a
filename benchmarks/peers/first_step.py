"""Run a program up to the end of its first training step, print the time of day, and end the process.

`python first_step.py milk-train OUT`: the command on the built-in data set, everything before the step included.
`python first_step.py PEER PROBLEM`: torch_best, torch_compiled or jax_best on a problem; reading it is included too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ran import instructions

STARTED = time.monotonic()
COMPILED = {"torch_compiled": ("torch_best", {"compiled": "dynamic"})}


def stop() -> NoReturn:
    """Report and end, without the interpreter's tidying up."""
    os.write(2, f"first step {time.time()!r}\n".encode())
    os.write(2, f"ran {json.dumps(instructions(STARTED))}\n".encode())
    os._exit(0)


def milk_train(out: str) -> None:
    """The command `milk-train`, stopped after its first step."""
    from milk_np.cli import train
    from milk_np.machine.threads import prepare

    prepare()  # as the command does, before the model brings NumPy
    from milk_np.models.extractors.trainer import TripletTrainer

    step = TripletTrainer.step

    def first(*args: Any) -> NoReturn:
        step(*args)
        stop()

    TripletTrainer.step = first
    train.main(["--out", out, "--quiet"])


def peer(name: str, folder: str) -> None:
    """A training program of this folder, stopped after its first step."""
    from importlib import import_module

    from objective import REFERENCE
    from shapes import Problem

    module, args = COMPILED.get(name, (name, {}))
    program = import_module(f"peers.{module}").Program(Problem(Path(folder)), REFERENCE, **args)
    program.run(1)
    stop()


if __name__ == "__main__":
    if sys.argv[1] == "milk-train":
        milk_train(sys.argv[2])
    else:
        peer(*sys.argv[1:3])
