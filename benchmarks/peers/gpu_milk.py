"""This project's engine on a GPU, on the batches that all programs are given; they lie on the device beforehand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import cupy
import numpy as np
from objective import Objective

from milk_np.backends.cupy import CupyBackend
from milk_np.kernels.gpu.prune import fill
from milk_np.kernels.gpu.topk import by_all
from milk_np.models.extractors.objective import parts
from milk_np.models.milk.model import Milk
from peers.milk_engine import dataset, settings


class GivenBatches:
    """The problem's triplets on the device, in the place of those that the engine draws."""

    def __init__(self, problem) -> None:
        batches = [problem.batch(step) for step in range(problem.steps)]
        self._batches = [(cupy.asarray(u), cupy.asarray(np.concatenate((i, j)))) for u, i, j, _ in batches]
        whole = [pair for pair in self._batches if len(pair[0]) == problem.shape.batch]
        self._users, self._items = (cupy.stack(each) for each in zip(*whole, strict=True))

    def batch(self, epoch: int, step: int) -> tuple[Any, Any]:
        """Users and items of a step."""
        return self._batches[step]

    def fill(self, epoch: int, step: int, users: Any, items: Any) -> None:
        """The batches from `step` on into rows of `users` (G, B) and `items` (G, 2B)."""
        if users.shape[1] == self._users.shape[1]:
            users[...], items[...] = (each[step : step + len(users)] for each in (self._users, self._items))
        else:
            users[0], items[0] = self._batches[step]


class Timed:
    """The backend's kernels with an event before and after each call."""

    def __init__(self, kernels: Any) -> None:
        self._kernels = kernels
        self._events: dict[str, list[tuple[Any, Any]]] = defaultdict(list)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        kernel = getattr(self._kernels, name)
        if not callable(kernel):
            return kernel

        def call(*arguments: Any) -> Any:
            before, after = cupy.cuda.Event(), cupy.cuda.Event()
            before.record()
            value = kernel(*arguments)
            after.record()
            self._events[name].append((before, after))
            return value

        return call

    def seconds(self) -> dict[str, float]:
        """Seconds of each kernel in all calls so far; they are forgotten then."""
        cupy.cuda.Device().synchronize()
        spent = {
            name: sum(cupy.cuda.get_elapsed_time(*pair) for pair in pairs) / 1000
            for name, pairs in self._events.items()
        }
        self._events.clear()
        return spent


class Program:
    """`run(steps)` trains on; see peers/numpy_plain.py for the contract. `given` uses the problem's batches; `replayed`
    launches a whole batch's step as a graph."""

    def __init__(self, problem, how: Objective, given: bool = True, timed: bool = False, replayed: bool = True) -> None:
        self.problem, self.step = problem, 0
        self.backend = CupyBackend()
        if timed:
            self.backend.kernels = Timed(self.backend.kernels)
        self.model = Milk(**settings(problem, how), device="gpu")
        self.model._lazy_backend = self.backend
        self.trainer = self.model.trainer(dataset(problem))
        self.model.load_arrays(problem.parameters)
        step = self.trainer.engine
        if given:
            step._ahead = GivenBatches(problem)
            step._theta = (1, cupy.asarray(problem.theta))
            step._draw_theta = lambda epoch: problem.theta
            step.sampler.fill = step._ahead.fill
        if timed or not replayed:
            step._replays = []  # every launch by itself

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradients of the step at hand and its "loss", without taking it."""
        engine, home, at = self.trainer.engine, self.backend.to_host, self.step % self.problem.steps
        users, items = engine._ahead.batch(1, at)
        got = engine._objective(self.model.params, users, items, engine._theta[1][at], engine._record[at])
        rows, P = home(got.users), np.zeros(self.model.params.P.shape, np.float32)
        P[rows[rows >= 0]] = home(got.P)[rows >= 0]
        named = {f"{k}{m}": home(x) for k, many in (("W", got.W), ("b", got.b)) for m, x in enumerate(many)}
        loss = parts(home(engine._record[at : at + 1]), engine.weights)["total"]
        return {"P": P, **named, "loss": np.float64(loss)}

    def run(self, steps: int) -> list[float]:
        """Train `steps` batches of the epoch; the loss of each comes home at the end, which waits for the device."""
        ats = [(self.step + step) % self.problem.steps for step in range(steps)]
        for at in ats:
            self.trainer.step(1, at)
        self.step += steps
        self.trainer.flush()
        record = self.backend.to_host(self.trainer.engine._record)
        return [parts(record[at : at + 1], self.trainer.engine.weights)["total"] for at in ats]

    def phases(self, steps: int) -> dict[str, float]:
        """Seconds per step of every kernel; needs `timed`."""
        self.run(steps)
        self.backend.kernels.seconds()
        self.run(steps)
        return {name: spent / steps for name, spent in self.backend.kernels.seconds().items()}

    def state(self) -> dict[str, np.ndarray]:
        """Parameters as float32 arrays under the problem's names."""
        return self.model.arrays()


class Search:
    """`search()` finds the k best of queries and items that lie on the device, `run()` leaves them there."""

    def __init__(self, queries: np.ndarray, items: np.ndarray, k: int) -> None:
        self.queries, self.items, self.k = cupy.asarray(queries), cupy.asarray(items), k
        self.kernel = CupyBackend().kernels.top_k

    def search(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions and scores, brought home."""
        index, score = self.run()
        return cupy.asnumpy(index), cupy.asnumpy(score)

    def run(self) -> tuple[Any, Any]:
        """Positions and scores on the device."""
        return self.kernel(self.queries, self.items, self.k)


class AllScores(Search):
    """The search by all scores, whatever bounds would say."""

    def run(self) -> tuple[Any, Any]:
        """Positions and scores on the device."""
        return _by(by_all, self)


class Bounded(Search):
    """The search by bounds, whether they pay or not."""

    def run(self) -> tuple[Any, Any]:
        """Positions and scores on the device."""
        return _by(lambda *given: fill(*given, by_all), self)


def _by(search: Any, of: Search) -> tuple[Any, Any]:
    """Lists that `search` fills."""
    Q = len(of.queries)
    index, score = cupy.full((Q, of.k), -1, np.int32), cupy.full((Q, of.k), -np.inf, np.float32)
    search(of.queries, of.items, cupy.zeros(Q + 1, np.int64), cupy.zeros(0, np.int32), index, score)
    return index, score
