"""One program in its own process, run on command: `python worker.py` serves, `Worker` drives it.

Thread pools of different libraries starve each other inside one process, so every program under measurement
has its own; only one works at a time, the others wait on their input. Commands are JSON lines; the program's
own printing goes to the error stream. Times are taken inside the worker, around the call alone.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ran import instructions

STARTED = time.monotonic()
THREADS = 2
LEAST_SECONDS = 0.25  # the system counts the cores' work in hundredths of a second: too coarse for shorter calls
HERE = Path(__file__).resolve().parent
RAN: dict[str, dict[str, Any]] = {}
"""What the programs that were closed really ran (`ran.instructions`), by name; emptied by who reads it."""
SHARED = ("problem", "how", "folder", "k", "given")  # arguments that don't tell one program from another
THREAD_LIMITS = {f"{name}_NUM_THREADS": str(THREADS) for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}


class Timing(float):
    """Seconds, and in `others` the share of the cores that other processes took meanwhile."""

    others: float

    def __new__(cls, seconds: float, others: float = 0.0) -> Timing:
        timing = super().__new__(cls, seconds)
        timing.others = others
        return timing


def busy_seconds() -> float:
    """Seconds that the cores have worked since the machine started, all together; 0 where the system won't say."""
    try:
        fields = [int(part) for part in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except (OSError, ValueError):
        return 0.0
    return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


class Worker:
    """A process that holds one object of `module` and calls its methods.

    Parameters
    ----------
    module : importable from this folder, with a class `Program`
    args : JSON-ready keyword arguments of `Program`; `problem` names a folder, `how` a preset of objective.py
    env : settings of the process on top of the common ones; None removes one
    """

    def __init__(self, module: str, args: dict[str, Any], env: dict[str, str | None] | None = None) -> None:
        self.module = module
        own = [f"{key}={value}" for key, value in (args | (env or {})).items() if key not in SHARED]
        self.name = " ".join([module.removeprefix("peers."), *own])
        path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        settings = os.environ | THREAD_LIMITS | {"PYTHONPATH": path} | (env or {})
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={key: value for key, value in settings.items() if value is not None},
            text=True,
        )
        try:
            self.request("build", args)
        except RuntimeError:
            self.close()
            raise

    def request(self, method: str, args: dict[str, Any], repeat: int = 1) -> dict[str, Any]:
        """Call a method in the worker `repeat` times; its answer with `value`, `seconds` and `cpu` of all calls."""
        require_alive(self)
        self.process.stdin.write(json.dumps({"method": method, "args": args, "repeat": repeat}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.module}: the worker ended with code {self.process.wait()}; its error is above")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.module}.{method}: {answer['error']}")
        self.last = answer
        return answer

    def call(self, method: str, /, **args: Any) -> Any:
        """Value of `Program.method(**args)`."""
        return self.request(method, args)["value"]

    def time(self, method: str, /, *, repeat: int = 1, **args: Any) -> Timing:
        """Seconds that `Program.method(**args)` takes, the mean of `repeat` calls in a row."""
        busy = busy_seconds()
        answer = self.request(method, args, repeat)
        others = max(0.0, busy_seconds() - busy - answer["cpu"]) / THREADS
        return Timing(answer["seconds"] / repeat, others / max(answer["seconds"], LEAST_SECONDS))

    def close(self) -> None:
        """End the process, having asked what it really ran."""
        with suppress(RuntimeError, BrokenPipeError):
            RAN[self.name] = self.call("instructions")
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def require_alive(worker: Worker) -> None:
    """RuntimeError when the process is gone."""
    if worker.process.poll() is not None:
        raise RuntimeError(f"{worker.module}: the worker has ended with code {worker.process.returncode}")


def pin_threads() -> None:
    """Keep this process on the first cores it may use, so that no library takes more than its peers."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def make(loaded: Any, args: dict[str, Any]) -> Any:
    """Build from JSON arguments: `problem` names a folder, `how` a preset of objective.py."""
    from objective import OBJECTIVES
    from shapes import Problem

    if "problem" in args:
        args["problem"] = Problem(Path(args["problem"]))
    if "how" in args:
        args["how"] = OBJECTIVES[args["how"]]
    return loaded.Program(**args)


def peak_memory() -> int:
    """Greatest resident size of this program so far, in bytes.

    Not ru_maxrss: that of a started process begins with the size of the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def save(program: Any, method: str, path: str) -> str:
    """Write the arrays that `program.method()` returns to an .npz file."""
    import numpy as np

    value = getattr(program, method)()
    arrays = value if isinstance(value, dict) else {f"a{k}": part for k, part in enumerate(value)}
    np.savez(path, **arrays)
    return path


def answer(module: str, program: Any, method: str, args: dict[str, Any], repeat: int) -> tuple[Any, dict[str, Any]]:
    """Program, and the reply to one request."""
    start, cpu = time.perf_counter(), time.process_time()
    if method == "build":
        program, value = make(importlib.import_module(module), args), None
    elif method == "peak_memory":
        value = peak_memory()
    elif method == "save":
        value = save(program, **args)
    elif method == "instructions":
        value = instructions(STARTED)
    else:
        for _ in range(repeat):
            value = getattr(program, method)(**args)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return program, {"value": value, "seconds": seconds, "cpu": cpu}


def serve(module: str) -> None:
    """Answer requests from standard input until it closes."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    program = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            program, reply = answer(module, program, request["method"], request["args"], request["repeat"])
        except Exception as error:  # the parent has to hear of every failure
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    pin_threads()
    serve(sys.argv[1])
