"""Constants of planning.py measured, and its model against a simulation and against fits on real clusters."""

from __future__ import annotations

import hashlib
import heapq
import io
import os
import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import numpy as np
from distributed import Client, LocalCluster, wait
from planning import PLAN, Phase, Sizes, fit_phases
from worker import busy_seconds

from milk_np.dask import DaskKernelProfile
from milk_np.dask.engine import DaskEngine
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.models.kernel_profile import smoother
from milk_np.models.kernel_profile.directions import directions

CHECK = Sizes(120_000, 40_000, 4_800_000, (256, 128), 512, 64, 0)
WORKERS = (1, 2, 4)


def today() -> str:
    """The date."""
    return datetime.now(UTC).date().isoformat()


def measured() -> dict[str, Any]:
    """Constants at the shapes of the plan and of the check."""
    of_dask = constants_of_dask()
    return {"constants": {name: constants(sizes) | of_dask for name, sizes in (("plan", PLAN), ("check", CHECK))}}


def timed(call: Callable[[], Any], least: float = 0.5) -> float:
    """CPU seconds of a call, the least of several."""
    call()
    best, total = np.inf, 0.0
    while total < least:
        began = time.process_time()
        call()
        taken = time.process_time() - began
        best, total = min(best, taken), total + taken
    return float(best)


def constants(sizes: Sizes) -> dict[str, float]:
    """CPU seconds for each unit of work on one thread, at the shapes of `sizes`."""
    from milk_np.kernels import cpu as kernels
    from milk_np.kernels.blas import one_blas_thread
    from milk_np.kernels.cpu.tasks import threads_at_most

    rng = np.random.default_rng(0)
    L, K, D, rows = sizes.landmarks, sizes.width, max(sizes.widths), 2048
    q = min(L, 256)
    x, W = rng.standard_normal((rows, L), np.float32), rng.standard_normal((L, L), np.float32)
    out, sums = np.empty((rows, L), np.float32), np.zeros((L, L))
    table = rng.standard_normal((8 * rows, D), np.float32)
    chosen, owned = np.arange(0, 8 * rows, 8, dtype=np.int32), np.ones(rows, np.bool_)
    content, centre = np.empty((rows, D), np.float32), np.zeros(D, np.float32)
    lists = _lists(rng, min(sizes.users, 1 << 18), min(sizes.items, 1_000_000), 10)
    y = rng.standard_normal((lists["n"], 16), np.float32)
    by_user, by_item = np.empty((lists["U"], 16), np.float32), np.empty((lists["n"], 16), np.float32)
    transposed = kernels.transpose_lists(lists["indptr"], lists["item"], lists["n"])
    users = rng.standard_normal((512, K), np.float32)
    items = rng.standard_normal((50_000, K), np.float32)

    def pairs() -> None:
        kernels.sum_lists(lists["indptr"], lists["item"], y, by_user)
        kernels.sum_lists(*transposed, by_user, by_item)

    with one_blas_thread(), threads_at_most(1):
        return {
            "multiply": timed(lambda: kernels.multiply(x, W, out)) / (2 * rows * L * L),
            "gram": timed(lambda: kernels.add_gram(x, sums)) / (rows * L * L),
            "add": timed(lambda: kernels.add_products(x, x[:, :q], sums[:, :q])) / (2 * rows * L * q),
            "exponential": timed(lambda: kernels.exponentials(out[None] * 0, 1.0)) / (rows * L),
            "gathered": timed(lambda: kernels.content_rows(table, chosen, owned, centre, content)) / (rows * D),
            "pair": timed(pairs) / (2 * len(lists["item"]) * 16),
            "sorted": timed(lambda: kernels.transpose_lists(lists["indptr"], lists["item"], lists["n"]))
            / len(lists["item"]),
            "score": timed(lambda: kernels.top_k(users, items, sizes.topk, None, None)) / (2 * 512 * 50_000 * K),
            "profile": timed(lambda: kernels.sum_lists(lists["indptr"], lists["item"], y, by_user))
            / (len(lists["item"]) * 16),
            "row": _row_of_parquet(),
        }


def _lists(rng: np.random.Generator, U: int, n: int, each: int) -> dict[str, Any]:
    """Random lists of so many items each; popular items come more often."""
    item = np.sort((rng.random((U, each)) ** 2 * n).astype(np.int32), axis=1).ravel()
    return {"U": U, "n": n, "indptr": np.arange(0, U * each + 1, each, dtype=np.int64), "item": item}


def _row_of_parquet() -> float:
    """Seconds for a row of lists, ids as texts."""
    from milk_np.serving.output import write_parquet

    n = 100_000
    names = np.array([f"user-{i}" for i in range(n)])
    table = {"user": names, "rank": np.arange(n, dtype=np.int32), "item": names, "score": np.zeros(n, np.float32)}
    return timed(lambda: write_parquet(io.BytesIO(), [table])) / n


def constants_of_dask() -> dict[str, float]:
    """Of Dask itself: seconds for a task without work, CPU seconds of the worker for one of the engine's, and bytes a
    second that this process gets from a worker."""
    with cluster_of(1) as client:
        client.gather(client.map(abs, range(100), pure=False))
        task = np.inf
        for _ in range(8):
            began = time.perf_counter()
            client.gather(client.map(abs, range(250), pure=False))
            task = min(task, (time.perf_counter() - began) / 250)
        rates = []
        for _ in range(5):
            held = client.submit(np.ones, 1 << 23, pure=False)
            wait(held)
            began = time.perf_counter()
            rates.append(held.result().nbytes / (time.perf_counter() - began))
        engine, before = DaskEngine(client), busy(client)
        for _ in range(5):
            list(engine.each(_nothing, None, range(100)))
        handling = (busy(client) - before) / 500
    return {"task": float(task), "loopback": float(max(rates)), "handling": handling}


def _nothing(_: None, part: int) -> int:
    return part


# Simulation


def simulated(phase: Phase, ranks: int, constants: dict[str, float], threads: float, link: float) -> float:
    """Seconds of a phase, task by task: a rank has one task at a time, a link one transfer."""
    from milk_np.models.kernel_profile.spans import GROUP

    now = 0.0
    for _ in range(phase.calls):
        now = _call(phase, ranks, constants, threads, link, now, GROUP)
    return now


def _call(
    phase: Phase, ranks: int, constants: dict[str, float], threads: float, link: float, now: float, group: int
) -> float:
    """When one call of a phase that begins at `now` has ended."""
    parts, scale = phase.tasks, 1 / (phase.calls * link)
    results = -(-parts // group) if phase.between else parts
    work = phase.cpu(constants) / (phase.calls * parts * threads) + constants["task"]
    state, out, back = phase.state * scale, phase.out * scale / parts, phase.back * scale / results
    between = phase.between * scale / max(1, parts - results)
    client = now + state  # it sends the state to one worker, which passes it on in a tree
    ready = [(client + state * (rank + 1).bit_length() - state, rank) for rank in range(min(ranks, parts))]
    heapq.heapify(ready)
    done = []
    for _ in range(parts):
        client += out
        free, rank = heapq.heappop(ready)
        end = max(free, client if out else free) + work
        done.append((end, rank))
        heapq.heappush(ready, (end, rank))
    if not phase.between:
        return _arrived([end for end, _ in done], client, back)
    sums = []
    for first in range(0, parts, group):
        some = done[first : first + group]
        others = sum(rank != some[0][1] for _, rank in some)
        sums.append(max(end for end, _ in some) + others * between)
    return _arrived(sums, client, back)


def _arrived(ready: list[float], client: float, back: float) -> float:
    """When the client has got them, in their order, over its link."""
    for end in ready:
        client = max(client, end) + back
    return client


# Real runs


@contextmanager
def cluster_of(workers: int) -> Iterator[Any]:
    """A client of so many processes with one thread each, on this machine."""
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
        yield client


class Counting(DaskEngine):
    """Counts the bytes that go from this process and come to it."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.out = self.back = 0

    def _tasks(self, work: Any, state: Any, parts: Iterable[Any]) -> Iterator[Any]:
        self.out += size_of(state)
        return super()._tasks(work, state, self._passed(parts))

    def _passed(self, parts: Iterable[Any]) -> Iterator[Any]:
        for part in parts:
            self.out += size_of(part)
            yield part

    def _result(self, future: Any) -> Any:
        found = super()._result(future)
        self.back += size_of(found)
        return found


def size_of(value: Any) -> int:
    """Bytes of a value as it travels."""
    return len(pickle.dumps(value, protocol=5))


def busy(client: Any) -> float:
    """CPU seconds of all workers so far."""
    return sum(client.run(time.process_time).values())


def data(sizes: Sizes) -> Dataset:
    """Random pairs of distinct items, popular ones more often; random features in half precision."""
    rng = np.random.default_rng(0)
    each = sizes.pairs // sizes.users
    step = sizes.items // each
    place = (rng.random((sizes.users, each)) ** 2 * step).astype(np.int32) * each + np.arange(each, dtype=np.int32)
    user, item = np.repeat(np.arange(sizes.users, dtype=np.int32), each), place.ravel()
    features = {
        f"m{m}": rng.standard_normal((sizes.items + 2, D)).astype(np.float16) for m, D in enumerate(sizes.widths)
    }
    item_split = np.zeros(sizes.items + 2, np.uint8)
    item_split[-2:] = Split.UNSEEN
    item_split[: sizes.items][np.bincount(item, minlength=sizes.items) == 0] = Split.UNSEEN
    available = np.ones((sizes.items + 2, len(sizes.widths)), np.bool_)
    return Dataset(user, item, np.zeros(len(user), np.uint8), item_split, tuple(features), features, available)


def fitted(ds: Dataset, sizes: Sizes, workers: int) -> tuple[dict[str, float], str, int]:
    """CPU seconds, bytes and time of a fit by so many processes, a digest of the model, and vectors of the search."""
    vectors = []

    def noted(*given: Any, **options: Any) -> Any:
        found = directions(*given, **options)
        vectors.append(found.products)
        return found

    settings = {"landmarks": sizes.landmarks, "threads": 1}
    chosen = {
        "kernel_noise": 1.0, "modality_weights": (1.0, 1.0), "whitening": (0.0,),
        "length_power": "0", "even_exposure": "0",
    }  # fmt: skip
    with cluster_of(workers) as client, patch.object(smoother, "directions", noted):
        made = []

        class Model(DaskKernelProfile):
            def _engine(self) -> DaskEngine:
                made.append(Counting(client))
                return made[-1]

        Model(client, landmarks=4, profile_width=4, smoothing_rank=2, **chosen).fit(ds)  # workers compile or load
        vectors.clear()
        cpu, began = busy(client), time.perf_counter()
        model = Model(client, **settings, **chosen).fit(ds).to_local()
        run = {
            "seconds": time.perf_counter() - began,
            "cpu": busy(client) - cpu,
            "out": made[-1].out,
            "back": made[-1].back,
        }
    digest = hashlib.sha256(b"".join(x.tobytes() for x in model.arrays().values())).hexdigest()
    return {name: float(value) for name, value in run.items()}, digest, sum(vectors)


def checked(constants: dict[str, float]) -> dict[str, Any]:
    """The model against runs of 1, 2 and 4 processes, whose models have to be the same bits."""
    ds = data(CHECK)
    runs, digests, others, spent = [], set(), [], 0.0
    link = constants["loopback"]
    for workers in WORKERS:
        began, everyone, own = time.perf_counter(), busy_seconds(), sum(os.times()[:4])
        run, digest, vectors = fitted(ds, CHECK, workers)
        others.append(busy_seconds() - everyone - (sum(os.times()[:4]) - own))
        spent += (time.perf_counter() - began) * (os.cpu_count() or 1)
        digests.add(digest)
        phases = fit_phases(replace(CHECK, vectors=vectors))
        threads = min(1.0, (os.cpu_count() or 1) / workers)
        model = {
            "cpu": sum(phase.cpu(constants) for phase in phases),
            "back": sum(phase.back for phase in phases),
            "out": sum(phase.state + phase.out for phase in phases),
            "seconds": sum(phase.seconds(workers, constants, threads, link) for phase in phases),
        }
        simulation = sum(simulated(phase, workers, constants, threads, link) for phase in phases)
        runs.append({"workers": workers, "model": model, "simulation": simulation, "run": run, "vectors": vectors})
        print(runs[-1], flush=True)
    for each in runs:
        each["same bits"] = len(digests) == 1
    sizes = {name: getattr(CHECK, name) for name in ("users", "items", "pairs", "landmarks")}
    return {"check": {**sizes, "runs": runs, "others": min(1.0, max(0.0, sum(others)) / spent)}}
