"""This project's training step with a clock around every kernel."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any

from objective import Objective

from milk_np.kernels import cpu
from milk_np.models.milk.model import Milk
from peers.milk_engine import dataset, settings


class Program:
    """Trains as usual, its own sampling included, and adds up the time of each kernel."""

    def __init__(self, problem, how: Objective) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        for name in cpu.__all__:
            setattr(cpu, name, self.timed(name, getattr(cpu, name)))
        self.model = Milk(**settings(problem, how))
        self.trainer = self.model.trainer(dataset(problem))
        self.step = 0

    def timed(self, name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        """The kernel, with its time added to `seconds`."""

        @wraps(kernel)
        def call(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            value = kernel(*args, **options)
            self.seconds[name] += time.perf_counter() - start
            return value

        return call

    def phases(self, steps: int) -> dict[str, float]:
        """Seconds per step of each kernel, and of everything else as "rest"."""
        self.seconds.clear()
        start, per_epoch = time.perf_counter(), self.trainer.steps
        for _ in range(steps):
            self.trainer.step(1 + self.step // per_epoch, self.step % per_epoch)
            self.step += 1
        whole = time.perf_counter() - start
        kernels = {name: seconds / steps for name, seconds in self.seconds.items()}
        return kernels | {"rest": whole / steps - sum(kernels.values())}
