"""A small data set in many spans, a cluster of processes, and workers that are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milk_np.data import Dataset, apply_protocol, make_synthetic
from milk_np.models.kernel_profile import blocks, spans
from milk_np.models.kernel_profile.model import KernelProfile

OPTIONS: dict[str, Any] = {"landmarks": 40, "profile_width": 16, "smoothing_rank": 8, "threads": 1}


def data() -> Dataset:
    """Two modalities, one of them missing for some items; users and items with ids."""
    ds = make_synthetic(700, 560, 9000, {"image": 12, "text": 7}, new_items=0.2, seed=4)
    ids = {"user_ids": np.array([f"u{n}" for n in range(700)]), "item_ids": np.array([f"i{n}" for n in range(560)])}
    return apply_protocol(replace(ds, **ids), "MTMT", seed=1)


def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few rows that small data have several spans; where they are cut is settled before work goes to workers."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS", {"cpu": 64})
    monkeypatch.setattr(spans, "USER_ROWS", 128)
    monkeypatch.setattr(spans, "PAIRS_OF_AN_ITEM", 1)


@contextmanager
def cluster_of(workers: int) -> Iterator[Any]:
    """A client of so many processes on this machine."""
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def ready(client: Any, workers: int) -> None:
    """Wait until there are so many; ask for others where one that was killed doesn't come back."""
    try:
        client.wait_for_workers(workers, timeout=20)
    except TimeoutError:
        client.cluster.scale(len(client.cluster.workers) + workers - len(client.nthreads()))
        client.wait_for_workers(workers, timeout=120)


def process_ids(client: Any) -> list[int]:
    """Of the workers."""
    return sorted(client.run(os.getpid).values())


def kill(process: int) -> None:
    """As the machine's memory limit would."""
    os.kill(process, signal.SIGKILL)


def assert_same(found: KernelProfile, expected: KernelProfile) -> None:
    """To the bit."""
    one, other = found.arrays(), expected.arrays()
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name, strict=True)


def log_writes(log: str) -> None:
    """Run in a worker: every part of lists that it begins is noted in the file `log`."""
    from milk_np.dask import lists

    write = lists.write_part

    def noted(path: Path, tables: Any, part: Any) -> None:
        with open(log, "a") as file:
            file.write(f"{part.number}\n")
        write(path, tables, part)

    lists.write_part = noted  # type: ignore[assignment]
