"""Lists as tasks on a real cluster of processes: those of one process, each block once, killed workers or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pytest
from cluster_cases import OPTIONS, cluster_of, data, kill, log_writes, process_ids, ready

from milk_np.cli import merge
from milk_np.dask import DaskKernelProfile
from milk_np.errors import DataError, SettingsError
from milk_np.serving.output import write_table
from milk_np.serving.recommend import Ranked

distributed = pytest.importorskip("distributed")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with cluster_of(3) as found:
        yield found


@pytest.fixture(scope="module")
def model(client: Any) -> DaskKernelProfile:
    return DaskKernelProfile(client, **OPTIONS).fit(data())


def assert_lists(found: Ranked, expected: Ranked) -> None:
    for name in ("query", "found", "score"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def table_of(lists: Ranked) -> dict[str, Any]:
    return dict(zip(("user", "rank", "item", "score"), lists.rows(), strict=True))


def test_lists_in_memory_are_those_of_the_local_model(model: DaskKernelProfile) -> None:
    local = model.to_local()
    assert_lists(model.recommend(k=7, block_users=90), local.recommend(k=7))
    some = ["u33", "u2", "u500"]
    how: dict[str, Any] = {"candidates": "all", "exclude_seen": False}
    assert_lists(model.recommend(some, 5, block_users=2, **how), local.recommend(some, 5, **how))
    never: dict[str, Any] = {"exclude": {"u2": local.recommend(["u2"], 3).found[0].tolist()}}
    assert_lists(model.recommend(some, 5, block_users=2, **never), local.recommend(some, 5, **never))
    few = {"candidates": ["i3", "i9", "i40"]}
    assert_lists(model.recommend(some, 2, **few), local.recommend(some, 2, **few))


def test_parts_are_merged_to_the_file_of_one_process(model: DaskKernelProfile, tmp_path: Path) -> None:
    paths = model.recommend(k=4, out=tmp_path / "lists", block_users=64)
    assert [path.name for path in paths][:2] == ["part-00001-of-00011.parquet", "part-00002-of-00011.parquet"]
    assert merge.main([str(tmp_path / "lists"), "--out", str(tmp_path / "merged.csv"), "--quiet"]) == 0
    write_table(tmp_path / "whole.csv", [table_of(model.to_local().recommend(k=4))])
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_only_what_is_missing_is_made_again(model: DaskKernelProfile, tmp_path: Path) -> None:
    paths = model.recommend(k=3, out=tmp_path, block_users=100)
    before = {path: path.read_bytes() for path in paths}
    ages = {path: path.stat().st_mtime_ns for path in paths}
    paths[2].unlink()
    assert model.recommend(k=3, out=tmp_path, block_users=100) == paths
    assert {path: path.read_bytes() for path in paths} == before
    assert [path for path in paths if path.stat().st_mtime_ns != ages[path]] == [paths[2]]


@pytest.mark.parametrize("moment", [0.02, 0.15, 0.4])
def test_a_worker_is_killed_among_the_blocks(
    moment: float, model: DaskKernelProfile, client: Any, tmp_path: Path
) -> None:
    """Each block is begun once, but for one that the killed worker was at."""
    ready(client, 3)
    log = tmp_path / "log"
    client.register_plugin(_Noting(str(log)), name=f"noting {moment}")
    timer = Timer(moment, kill, [process_ids(client)[0]])
    timer.start()
    try:
        paths = model.recommend(k=5, out=tmp_path / "lists", block_users=2)
    finally:
        timer.join()
        client.unregister_worker_plugin(f"noting {moment}")
    begun = Counter(log.read_text().split())
    assert len(begun) == len(paths) == 350
    assert sum(begun.values()) <= 351
    users = np.concatenate([parquet.read_table(path)["user"].to_numpy() for path in paths])
    items = np.concatenate([parquet.read_table(path)["item"].to_numpy() for path in paths])
    expected = model.to_local().recommend(k=5)
    np.testing.assert_array_equal(users.reshape(-1, 5)[:, 0].astype(np.str_), expected.query)
    np.testing.assert_array_equal(items.astype(np.str_), expected.found.ravel())
    assert list((tmp_path / "lists").glob(".*")) == []


class _Noting(distributed.WorkerPlugin):  # type: ignore[misc]
    """Every worker, one that comes later too, notes the blocks that it begins."""

    def __init__(self, log: str) -> None:
        self.log = log

    def setup(self, worker: Any) -> None:
        log_writes(self.log)


def test_other_lists_are_not_mixed_up(model: DaskKernelProfile, tmp_path: Path) -> None:
    model.recommend(k=3, out=tmp_path, block_users=400)
    with pytest.raises(DataError, match=r"has lists of other topk; choose another folder"):
        model.recommend(k=4, out=tmp_path, block_users=400)
    with pytest.raises(DataError, match=r"has other lists, such as part-00001-of-00002"):
        model.recommend(k=3, out=tmp_path, block_users=100)


def test_wrong_arguments(model: DaskKernelProfile) -> None:
    with pytest.raises(SettingsError, match="block_users: expected at least 1, got 0"):
        model.recommend(block_users=0)
    with pytest.raises(SettingsError, match="topk: expected a length of at least 1, got 0"):
        model.recommend(k=0)
    with pytest.raises(DataError, match="user 'nobody' is not in the data set"):
        model.recommend(["nobody"])
