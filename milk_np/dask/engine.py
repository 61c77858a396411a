"""Parts of a sum, or of lists, as tasks of a Dask cluster; results come in the order of the parts.

What a task needs is its state, a task's result too, so that Dask makes it anew where a worker took it along. A task of
a worker that is lost runs again elsewhere. A worker works on one part at a time, on as many threads as it has: the
kernels are parallel themselves, and no more than one part is lost with it.
"""

from __future__ import annotations

import pickle
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from milk_np.errors import DeviceError, MissingExtraError, SettingsError
from milk_np.kernels.blas import one_blas_thread
from milk_np.kernels.cpu.tasks import threads_at_most
from milk_np.models.kernel_profile.spans import GROUP, added, groups

State = TypeVar("State")
Part = TypeVar("Part")
Result = TypeVar("Result")

AHEAD = 2
"""Parts for each worker that wait or run at a time: one is worked on, the next is there when it is done."""
POLL = 1.0
"""Seconds between two looks at whether there are workers at all."""

_TURN = threading.Lock()


class DaskEngine:
    """Runs work on the workers of `client`; see `milk_np.models.kernel_profile.spans.Engine`.

    With no worker left for `patience` seconds it raises DeviceError: until then, new ones may come.
    """

    def __init__(self, client: Any, patience: float = 60.0) -> None:
        self.client, self.patience = client, patience

    def each(self, work: Callable[[State, Part], Result], state: State, parts: Iterable[Part]) -> Iterator[Result]:
        """`work(state, part)` of every part, in the order of the parts.

        Raises what `work` raises, and DeviceError where workers were killed again and again, or none is left.
        """
        tasks = self._tasks(work, state, parts)
        return self._results(tasks, AHEAD * self._workers())

    def sums(
        self, work: Callable[[State, Part], list[Any]], state: State, parts: Iterable[Part]
    ) -> Iterator[list[Any]]:
        """Sums of groups of parts, added up by workers; errors as those of `each`."""
        tasks = (self._submit(_added, *group) for group in groups(self._tasks(work, state, parts)))
        return self._results(tasks, 1 + AHEAD * self._workers() // GROUP)

    def _tasks(self, work: Callable[[State, Part], Result], state: State, parts: Iterable[Part]) -> Iterator[Any]:
        """A future for each part."""
        workers = sorted(self.client.nthreads())
        held = self._submit(_unpacked, pickle.dumps(state, protocol=5))
        for number, part in enumerate(parts):
            # The same part goes to the same worker where it can: what it has read of the data is still there.
            near = {"workers": [workers[number % len(workers)]], "allow_other_workers": True} if workers else {}
            yield self._submit(_on_worker, work, held, part, **near)

    def _results(self, tasks: Iterable[Any], ahead: int) -> Iterator[Any]:
        """Results of tasks, of which `ahead` are submitted before the first one is waited for."""
        waiting: deque[Any] = deque()
        for task in tasks:
            waiting.append(task)
            if len(waiting) > ahead:
                yield self._result(waiting.popleft())
        while waiting:
            yield self._result(waiting.popleft())

    def _workers(self) -> int:
        return max(1, len(self.client.nthreads()))

    def _submit(self, work: Callable[..., Any], *given: Any, **how: Any) -> Any:
        with warnings.catch_warnings():
            # A state of many megabytes goes out once, and has to stay with the scheduler to outlive workers.
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self.client.submit(work, *given, pure=False, **how)

    def _result(self, future: Any) -> Any:
        distributed = library()
        try:
            self._wait(future)
            return future.result()
        except distributed.KilledWorker as error:
            raise DeviceError(
                f"Dask: {error.last_worker.address} was the last of several workers that were killed at the same part "
                "of the work, by their machine's memory limit perhaps; use workers with more memory, or fewer threads"
            ) from error
        except CancelledError as error:
            raise DeviceError(f"Dask: the work was cancelled ({error}); is the scheduler still there?") from error

    def _wait(self, future: Any) -> None:
        """Until the future is done; DeviceError after `patience` seconds without any worker."""
        last = time.monotonic()
        while True:
            try:
                library().wait(future, timeout=POLL)
                return
            except TimeoutError:
                if self.client.nthreads():
                    last = time.monotonic()
            if time.monotonic() - last > self.patience:
                raise DeviceError(
                    f"Dask: no worker is left at {self.client.scheduler.address} since {self.patience:g} s; start "
                    "workers and call again"
                )


def library() -> Any:
    """The package distributed. Raises MissingExtraError where it isn't installed."""
    try:
        import distributed
    except ImportError:
        raise MissingExtraError(
            'milk_np.dask needs dask and distributed, which are not installed; pip install "milk-np[dask]"'
        ) from None
    return distributed


def client_or_default(client: Any) -> Any:
    """`client`, or the one that this process made last. Raises SettingsError where there is none."""
    distributed = library()
    if client is not None:
        return client
    try:
        return distributed.default_client()
    except ValueError:
        raise SettingsError(
            "client: there is no Dask client; make one, as in client=distributed.Client('tcp://scheduler:8786')"
        ) from None


def _added(*parts: list[Any]) -> list[Any]:
    """The sum of parts in their order; a part may be asked for again, and isn't overwritten."""
    return added([[x.copy() for x in parts[0]], *parts[1:]])


def _unpacked(state: bytes) -> Any:
    """What a worker needs. As bytes it passes the scheduler, which would open its files too if it came as it is."""
    return pickle.loads(state)  # noqa: S301 - Dask's own means to bring work to workers


def _on_worker(work: Callable[[State, Part], Result], state: State, part: Part) -> Result:
    """One part at a time, on the worker's threads."""
    threads = int(library().get_worker().state.nthreads)
    with _TURN, one_blas_thread(), threads_at_most(threads):
        return work(state, part)
