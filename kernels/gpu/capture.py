"""Launches that are captured as a CUDA graph, so that all of them are started by one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import cupy

from milk_np.kernels.gpu.launch import scratch

NOT_SUPPORTED = 801
"""cudaErrorNotSupported: the device, or an emulator of one, captures nothing."""


class Recorded:
    """A function that launches kernels with arguments that never change: run once, then captured and replayed.

    The first call runs it on a separate stream, so that kernels are compiled and libraries initialised. Its memory
    comes from a separate pool, which lives as long as the graph, so that memory that the graph writes to is not used
    elsewhere. If nothing can be captured, every call runs it.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._stream: Any = None
        self._side: Any = None
        self._pool = cupy.cuda.MemoryPool()
        self._scratch: list[Any] = []
        self._again: Callable[[], None] | None = None

    def __call__(self) -> None:
        """Run it, in the order of the current stream."""
        if self._stream is None:
            self._stream, self._side = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
            self._aside()
            return
        if self._again is None:
            self._again = self._captured()
        self._again()

    @property
    def captured(self) -> bool:
        """Whether calls replay a graph."""
        return self._again is not None and self._again != self._aside

    def _aside(self) -> None:
        """Run the work on the own stream, after what the current one was given and before what it is given next."""
        current, before, after = cupy.cuda.get_current_stream(), *(_event() for _ in range(2))
        before.record(current)
        self._stream.wait_event(before)
        with self._own():
            self._work()
        after.record(self._stream)
        current.wait_event(after)

    def branch(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture `work` as a parallel branch, until the returned function is called."""
        before, after = _event(), _event()
        before.record(self._stream)
        self._side.wait_event(before)
        with self._side:
            work()
        after.record(self._side)
        return lambda: self._stream.wait_event(after)

    def _captured(self) -> Callable[[], None]:
        """The replay of a graph of the work, or the work itself."""
        try:
            with self._own():
                graph = self._graph()
        except NotImplementedError:  # CuPy's, for a product of cuBLAS
            return self._aside
        except cupy.cuda.runtime.CUDARuntimeError as error:
            if error.status != NOT_SUPPORTED:
                raise
            return self._aside
        self._scratch = scratch()  # a larger one may take its place: the graph needs this one
        return lambda: graph.launch(cupy.cuda.get_current_stream())

    def _graph(self) -> Any:
        """A graph of the work. Where an error ends the work, its capture ends too, whatever is left of it."""
        self._stream.begin_capture()
        _capturing.append(self)
        try:
            self._work()
        except BaseException:
            with suppress(cupy.cuda.runtime.CUDARuntimeError):  # branches may not have come back
                self._stream.end_capture()
            raise
        finally:
            _capturing.pop()
        return self._stream.end_capture()

    @contextmanager
    def _own(self) -> Iterator[None]:
        """Launch on the own stream, allocate from the own pool."""
        with self._stream, cupy.cuda.using_allocator(self._pool.malloc):
            yield


_capturing: list[Recorded] = []
"""What is being captured now."""


def aside(work: Callable[[], None]) -> Callable[[], None]:
    """Run `work` concurrently with what is launched next, until the returned function is called.

    It becomes a branch of the graph being captured; if there is none, it is launched at once.
    """
    if _capturing:
        return _capturing[-1].branch(work)
    work()
    return lambda: None


def _event() -> Any:
    return cupy.cuda.Event(disable_timing=True)
