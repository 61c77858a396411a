"""A real cluster of processes: the bits of one process for any number of workers, and when one of them is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pytest
from cluster_cases import OPTIONS, assert_same, cluster_of, data, kill, process_ids, ready, small_spans

from milk_np.dask import DaskKernelProfile
from milk_np.data import Dataset
from milk_np.data.importers.tables import from_tables
from milk_np.errors import DataError, DeviceError, MissingExtraError, SettingsError
from milk_np.models.kernel_profile.model import KernelProfile

distributed = pytest.importorskip("distributed")


@pytest.fixture(autouse=True)
def _small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    small_spans(monkeypatch)


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return data()


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with cluster_of(3) as found:
        yield found


@pytest.fixture
def local(ds: Dataset) -> KernelProfile:
    return KernelProfile(**OPTIONS).fit(ds)


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bits(workers: int, ds: Dataset, local: KernelProfile) -> None:
    with cluster_of(workers) as client:
        assert_same(DaskKernelProfile(client, **OPTIONS).fit(ds).to_local(), local)


def test_three_workers_read_a_folder(client: Any, ds: Dataset, local: KernelProfile, tmp_path: Path) -> None:
    ds.save(tmp_path / "data")
    model = DaskKernelProfile(client, folder=tmp_path / "shared", **OPTIONS).fit(tmp_path / "data")
    assert_same(model.to_local(), local)
    assert not (tmp_path / "shared" / "data").exists()  # it was on the shared disk already
    assert_same(KernelProfile.load(tmp_path / "shared" / "model.npz"), local)


def test_a_final_model(client: Any, ds: Dataset) -> None:
    expected = KernelProfile(**OPTIONS).fit(ds, final=True)
    assert_same(DaskKernelProfile(client, **OPTIONS).fit(ds, final=True).to_local(), expected)


def test_the_client_made_last_is_taken(client: Any, ds: Dataset, local: KernelProfile) -> None:
    assert_same(DaskKernelProfile(**OPTIONS).fit(ds).to_local(), local)


def test_pairs_and_features_in_parquet_by_id(client: Any, ds: Dataset, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"user": ds.user_ids[ds.user], "item": ds.item_ids[ds.item]})
    for part in range(4):
        (tmp_path / "pairs" / f"day={part}").mkdir(parents=True)
        pq.write_table(table.take(np.arange(part, len(table), 4)), tmp_path / "pairs" / f"day={part}" / "0.parquet")
    features = {}
    for m, name in enumerate(ds.modalities):
        mine = np.flatnonzero(ds.available[:, m])
        columns = {"item": ds.item_ids[mine], "rows": list(ds.features[name][mine])}
        features[name] = str(tmp_path / f"{name}.parquet")
        pq.write_table(pa.table(columns), features[name])
    model = DaskKernelProfile(client, **OPTIONS).fit(pairs=tmp_path / "pairs", features=features)
    assert_same(model.to_local(), KernelProfile(**OPTIONS).fit(from_tables(tmp_path / "pairs", features)))


@pytest.mark.parametrize("moment", [0.05, 0.3, 0.7, 1.2])
def test_a_worker_is_killed(moment: float, client: Any, ds: Dataset, local: KernelProfile) -> None:
    ready(client, 3)
    timer = Timer(moment, kill, [process_ids(client)[0]])
    timer.start()
    try:
        for _ in range(2):
            assert_same(DaskKernelProfile(client, **OPTIONS).fit(ds).to_local(), local)
    finally:
        timer.join()


def test_no_worker_is_left(ds: Dataset) -> None:
    with cluster_of(0) as client, pytest.raises(DeviceError, match=r"no worker is left at tcp://.* since 1 s; start"):
        DaskKernelProfile(client, patience=1.0, **OPTIONS).fit(ds)


def test_an_error_of_the_work_arrives(client: Any, ds: Dataset, tmp_path: Path) -> None:
    ds.save(tmp_path / "data")
    loaded = Dataset.load(tmp_path / "data")
    (tmp_path / "data" / "feature_text.npy").rename(tmp_path / "moved.npy")
    with pytest.raises((DataError, OSError), match=r"feature_text\.npy"):
        DaskKernelProfile(client, **OPTIONS).fit(loaded)


def test_a_folder_that_no_worker_sees(
    client: Any, ds: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milk_np.dask.shared._looked", _blind)
    with pytest.raises(
        DataError, match=r"worker tcp://.* doesn't see .*shared; give a folder on a disk that all share"
    ):
        DaskKernelProfile(client, folder=tmp_path / "shared", **OPTIONS).fit(ds)


def _blind(probe: str) -> tuple[str, bool]:
    from milk_np.text import VERSION

    return VERSION, False


def test_wrong_arguments(client: Any, ds: Dataset) -> None:
    with pytest.raises(SettingsError, match="device: expected cpu"):
        DaskKernelProfile(client, device="gpu")
    model = DaskKernelProfile(client, **OPTIONS)
    for given in ({}, {"pairs": "x"}, {"data": ds, "pairs": "x", "features": {}}, {"data": ds, "features": {}}):
        with pytest.raises(SettingsError, match="fit: expected data"):
            model.fit(**given)
    with pytest.raises(SettingsError, match="fit: user_col: applies to pairs and features"):
        model.fit(ds, user_col="uid")
    with pytest.raises(SettingsError, match="isn't fitted"):
        model.to_local()


def test_no_client(ds: Dataset) -> None:
    program = (
        "from milk_np.dask import DaskKernelProfile as D\nfrom milk_np.errors import SettingsError\n"
        "try: D().fit('x')\nexcept SettingsError as error: print(error)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.startswith("client: there is no Dask client; make one")


def test_the_absent_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r'pip install "milk-np\[dask\]"'):
        DaskKernelProfile().fit("x")
