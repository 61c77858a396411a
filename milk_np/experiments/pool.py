"""Parallel runs: each in a process with one thread, since results don't depend on the number of threads."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import wait

from milk_np.errors import DivergedError
from milk_np.experiments.queue import Due, Queue
from milk_np.experiments.runs import Result, Run, execute
from milk_np.experiments.store import Store
from milk_np.machine.threads import VARIABLES
from milk_np.models.registry import DEFAULT
from milk_np.training.signals import ENDING

Say = Callable[[str], None]
Follow = Callable[[Run], Iterable[Due]]
"""What can be done now that a run is finished; runs that were named before may be among them."""
Ended = tuple[Due, Callable[[], Result]]
"""A run, and what gives its result or raises its error."""


def run_all(runs: Iterable[Run], store: Store, jobs: int, say: Say, what: str) -> None:
    """`run_due` for runs that don't wait for each other."""
    run_due((Due(0, what, run) for run in runs), lambda _: (), store, jobs, say)


def run_due(first: Iterable[Due], follow: Follow, store: Store, jobs: int, say: Say) -> None:
    """Do the runs of `first` that the store doesn't have, and those that follow from them, `jobs` at a time; store each
    result as soon as it is available.

    A run that diverges is stored with a score of 0. Raises KeyboardInterrupt when interrupted: finished runs are kept,
    those in progress are lost.
    """
    queue = Queue(store)
    queue.add(first)
    if not queue:
        return
    if jobs > 1 and not _can_share():
        say("one run at a time, since this system has no shared memory (/dev/shm) for parallel runs")
        jobs = 1
    say(f"{queue.labels()}: {len(queue)} runs to do, {jobs} at a time")
    with closing(_in_turn(queue, store) if jobs == 1 else _side_by_side(queue, store, jobs)) as all_ended:
        for done, (due, result) in enumerate(all_ended, 1):
            _keep(store, due.run, result, say, f"{due.what}, {done} of {queue.known}")
            queue.add(follow(due.run))


def _in_turn(queue: Queue, store: Store) -> Generator[Ended]:
    while queue:
        yield _here(queue.pop(), store)


def _side_by_side(queue: Queue, store: Store, jobs: int) -> Generator[Ended]:
    """Each in a process with one thread; one that is alone here, with all threads."""
    going: dict[Future[Result], Due] = {}
    with _pool(jobs) as pool:
        while queue or going:
            if len(queue) == 1 and not going:
                yield _here(queue.pop(), store)
                continue
            with _one_thread_each(), _deaf():
                while queue and len(going) < jobs:
                    due = queue.pop()
                    going[pool.submit(execute, due.run, store.beside)] = due
            for future in wait_for(going, return_when=FIRST_COMPLETED).done:
                yield going.pop(future), future.result


def _here(due: Due, store: Store) -> Ended:
    return due, partial(execute, due.run, store.beside)


def _keep(store: Store, run: Run, result: Callable[[], Result], say: Say, what: str) -> None:
    try:
        found = result()
    except DivergedError as error:
        say(f"{what} diverged: {error}")
        found = Result({**run.identity(), "diverged": str(error)}, {"users": []})
    store.put(run, found)
    say(f"{what}  {described(run)}  {outcome(found)}")


def described(run: Run) -> str:
    """Model, protocol, draw and settings of a run in one line."""
    settings = run.identity()["settings"]
    hidden = ("model", "protocol", "seed", "missing_seed", "epochs", "eval_every", "patience", "risk", "negatives")
    rest = " ".join(f"{name}={value}" for name, value in settings.items() if name not in hidden)
    draw = "" if run.draw is None else f" draw {run.draw}"
    return (
        f"{run.data.stem} {settings.get('model', DEFAULT)} {run.settings.protocol or 'as stored'}{draw} {rest}".rstrip()
    )


def outcome(result: Result) -> str:
    """The result of a run, in a few words."""
    summary = result.summary
    if "diverged" in summary:
        return "diverged"
    name = next(iter(name for name in summary["valid"] if name.startswith("ndcg")))
    epochs = f" epochs {summary['epochs']}" if "epochs" in summary else ""
    return f"valid {name} {summary['valid'][name]:.4f}{epochs} {summary['seconds']:.1f} s"


def _can_share() -> bool:
    """Whether processes can have locks together."""
    try:
        with _deaf():
            multiprocessing.get_context("spawn").Lock()
    except OSError:
        return False
    return True


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started inside don't get the signals that end this one: a terminal sends them to all, and a
    worker has nothing to save. This one kills them when it ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        resource_tracker.ensure_running()  # multiprocessing's own helper; it lets some of these signals through again
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Newly started processes; on an error or an interruption they are killed."""
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=end_with_parent)
    before = set(multiprocessing.active_children())
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        raise
    pool.shutdown()


def end_with_parent() -> None:
    """Let this process end when the one that started it does, even by SIGKILL: nobody waits for its result any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True, name="milk-parent").start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Inside, new processes compute with one thread."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
