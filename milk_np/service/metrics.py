"""Counts of requests and of their time, for Prometheus. Workers share the memory: any of them tells of all."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from weakref import WeakMethod

import numpy as np

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the histogram, in seconds."""
CLASSES = ("2xx", "3xx", "4xx", "5xx")
WORKERS = 64
"""Workers that have rows of their own, where their number isn't known."""
_WIDTH = len(CLASSES) + len(BOUNDS) + 1 + 1
"""Numbers of a route: requests by class, by bound and beyond, seconds."""


class Metrics:
    """One row of numbers for each worker and route; a worker writes its own rows alone.

    Made before the workers are forked, so that all see the same memory. A process that is forked has the rows after
    those of the one forked before it, whoever forks it, unless it is given others by `worker`.
    """

    def __init__(self, routes: Sequence[str], workers: int = WORKERS) -> None:
        self.routes, self.worker, self._forked = tuple(routes), 0, 0
        count, take = WeakMethod(self._count_fork), WeakMethod(self._take_rows)
        os.register_at_fork(before=lambda: _call(count), after_in_child=lambda: _call(take))
        shape = workers, len(self.routes), _WIDTH
        self._memory = mmap.mmap(-1, 8 * int(np.prod(shape)))
        self._counts = np.frombuffer(self._memory, np.float64).reshape(shape)

    def _count_fork(self) -> None:
        self._forked = (self._forked + 1) % len(self._counts)

    def _take_rows(self) -> None:
        self.worker = self._forked

    def add(self, route: str, status: int, seconds: float) -> None:
        """Count one request. Called in the worker's event loop, so never twice at a time."""
        row = self._counts[self.worker, self.routes.index(route)]
        row[min(max(status // 100 - 2, 0), len(CLASSES) - 1)] += 1
        row[len(CLASSES) + int(np.searchsorted(BOUNDS, seconds))] += 1
        row[-1] += seconds

    def text(self, gauges: Mapping[str, float]) -> str:
        """All of it in Prometheus's text format, with `gauges` by name."""
        return "\n".join([*self._requests(), *self._seconds(), *_gauges(gauges), ""])

    def _requests(self) -> Iterator[str]:
        yield "# HELP milk_requests_total Requests by route and class of status."
        yield "# TYPE milk_requests_total counter"
        for route, row in zip(self.routes, self._counts.sum(axis=0), strict=True):
            for name, count in zip(CLASSES, row, strict=False):
                yield f'milk_requests_total{{route="{route}",status="{name}"}} {count:.0f}'

    def _seconds(self) -> Iterator[str]:
        name = "milk_request_seconds"
        yield f"# HELP {name} Seconds from the request to the end of its answer."
        yield f"# TYPE {name} histogram"
        for route, row in zip(self.routes, self._counts.sum(axis=0), strict=True):
            below = np.cumsum(row[len(CLASSES) : -1])
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), below, strict=True):
                yield f'{name}_bucket{{route="{route}",le="{bound}"}} {count:.0f}'
            yield f'{name}_sum{{route="{route}"}} {row[-1]:.6f}'
            yield f'{name}_count{{route="{route}"}} {below[-1]:.0f}'


def _call(method: WeakMethod[Callable[[], None]]) -> None:
    """The hooks of a fork stay for ever, what they belong to does not."""
    if (found := method()) is not None:
        found()


def _gauges(gauges: Mapping[str, float]) -> Iterator[str]:
    for name, value in gauges.items():
        yield f"# TYPE {name} gauge"
        yield f"{name} {value:g}"
