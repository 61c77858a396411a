"""What fuzzing found, one case of each kind: an error with the file's name, as a command tells it."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_data import parquet, raw_with_times, use_tables
from fuzz_kind import cli
from fuzz_models import trained_by
from job_cases import MILK, data, inside, model

from milk_np.cli import recommend, train
from milk_np.data import Dataset, make_imputer
from milk_np.data.importers.feature_files import read_vectors
from milk_np.data.importers.tables import from_tables
from milk_np.errors import DataError, ModalityError
from milk_np.files import read_npz, write_npz_atomic
from milk_np.models.stored import load


def test_a_damaged_name_does_not_make_an_array_disappear(tmp_path: Path) -> None:
    data(tmp_path)
    path = tmp_path / "data.npz"
    content = path.read_bytes()
    at = content.rindex(b"item_ids.npy")  # in the archive's index; the name before the entry stays
    path.write_bytes(content[:at] + b"jtem" + content[at + 4 :])
    for read in (Dataset.load, lambda path: read_npz(path, "model")):
        with pytest.raises(DataError, match=r"data\.npz: entry 'jtem_ids\.npy' can't be read .*damaged"):
            read(path)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.npz", "w") as archive:
        archive.writestr("aü.npy", b"x")
    content = (tmp_path / "model.npz").read_bytes()
    (tmp_path / "model.npz").write_bytes(content.replace("ü".encode(), b"\xff\xff"))
    for read in (Dataset.load, lambda path: read_npz(path, "model")):
        with pytest.raises(DataError, match=r"model\.npz: "):
            read(tmp_path / "model.npz")


def test_an_entry_that_comes_twice_is_refused(tmp_path: Path) -> None:
    data(tmp_path)
    with zipfile.ZipFile(tmp_path / "data.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("user.npy", archive.read("item.npy"))
    with pytest.raises(DataError, match=r"data\.npz: entry 'user\.npy' comes twice"):
        Dataset.load(tmp_path / "data.npz")


def test_an_entry_that_is_no_array_is_named(tmp_path: Path) -> None:
    data(tmp_path)
    with zipfile.ZipFile(tmp_path / "data.npz") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        for name, content in (entries | {"modalities.npy": b"image"}).items():
            archive.writestr(name, content)
    with pytest.raises(DataError, match=r"data\.npz: array modalities is no NumPy array"):
        Dataset.load(tmp_path / "data.npz")


def test_a_folder_that_lost_an_array_is_refused(tmp_path: Path) -> None:
    data(tmp_path).save(tmp_path / "set")
    (tmp_path / "set" / "item_ids.npy").unlink()
    with pytest.raises(DataError, match=r"set: item_ids\.npy: no such file, though meta\.json has its checksum"):
        Dataset.load(tmp_path / "set")


def test_a_model_without_settings_is_refused(tmp_path: Path) -> None:
    model(tmp_path)
    path = tmp_path / "run" / "model.npz"
    arrays, meta = read_npz(path, "model")
    for value in ({}, {"settings": [1]}):
        write_npz_atomic(path, arrays, {name: x for name, x in meta.items() if name != "settings"} | value)
        with pytest.raises(DataError, match=r"model\.npz: its 'meta' entry has no settings"):
            load(path)


def test_a_state_of_other_widths_is_refused(tmp_path: Path) -> None:
    ds = data(tmp_path)
    lacking = replace(ds, available=ds.available & (np.arange(ds.n_items) % 3 > 0)[:, None] | [True, False])
    for name in ("mean", "map", "nearest"):
        imputer = make_imputer(name).fit(lacking)
        state = imputer.state()
        assert type(imputer).from_state(state).widths == {"image": 5, "text": 4}
        for key in set(state) - {"modalities", "widths"}:
            with pytest.raises(DataError, match=f"state of the {name} imputer: entry '{key}'|state of"):
                type(imputer).from_state({**state, key: state[key][..., :-1]})


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    trained_by("--model", "svd-ridge", "--dim", "4", "--topk", "5")(tmp_path)
    path = tmp_path / "run" / "model.npz"
    load(path)
    arrays, meta = read_npz(path, "model")
    x = arrays["weights"]
    for wrong in (x[:-1], x[0], x.astype("U9"), x[None]):
        write_npz_atomic(path, arrays | {"weights": wrong}, meta)
        with pytest.raises(DataError, match=r"model\.npz: "):
            load(path)


def test_arrays_that_do_not_fit_the_modalities_are_refused(tmp_path: Path) -> None:
    for name, line, changes in (
        ("milk", MILK, ({"W2": (4, 4)}, {"W0": (3, 4)}, {"imputer_modalities": None})),
        ("best", ("--preset", "best", "--topk", "5"), ({"landmark0": (3, 2)}, {"kernel": (0,)})),
    ):
        (tmp_path / name).mkdir()
        trained_by(*line)(tmp_path / name)
        path = tmp_path / name / "run" / "model.npz"
        arrays, meta = read_npz(path, "model")
        for change in changes:
            made = {
                key: np.array(["text", "image"]) if s is None else np.ones(s, np.float32) for key, s in change.items()
            }
            write_npz_atomic(path, arrays | made, meta)
            with pytest.raises(DataError, match=r"model\.npz: "):
                load(path)


def test_a_modality_that_comes_twice_is_refused(tmp_path: Path) -> None:
    data(tmp_path)
    with np.load(tmp_path / "data.npz") as arrays:
        content = dict(arrays)
    np.savez(tmp_path / "data.npz", **content | {"modalities": np.array(["image", "text", "image"])})
    with pytest.raises(ModalityError, match="expected names that differ, got image, text, image"):
        Dataset.load(tmp_path / "data.npz")


def test_ids_of_features_without_a_length_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "text.npz", ids=np.array("a"), vectors=np.ones((3, 2), np.float32))
    with pytest.raises(ModalityError, match=r"1-D array of item ids, got shape \(\)"):
        read_vectors(tmp_path / "text.npz", "text", "item", None, None)


def test_odd_columns_of_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    parquet(tmp_path)
    path = tmp_path / "pairs.parquet"
    table = pq.read_table(path)
    with inside(tmp_path):
        nanoseconds = pa.array(range(1, table.num_rows + 1), pa.timestamp("ns"))
        pq.write_table(table.set_column(table.column_names.index("time"), "time", nanoseconds), path)
        use_tables("pairs.parquet", "text.parquet")
        offsets = pa.array(range(table.num_rows + 1), pa.int32()).buffers()[1]
        broken = pa.StringArray.from_buffers(table.num_rows, offsets, pa.py_buffer(b"\xff" * table.num_rows))
        pq.write_table(table.set_column(table.column_names.index("user"), "user", broken), path)
        with pytest.raises(DataError, match=r"pairs\.parquet: column 'user' holds bytes that are no text in UTF-8"):
            use_tables("pairs.parquet", "text.parquet")


def test_tables_that_are_pipes_are_refused(tmp_path: Path) -> None:
    raw_with_times(tmp_path)
    for name in ("pairs.csv", "pairs.parquet"):
        (tmp_path / name).unlink(missing_ok=True)
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match=rf"{name}: expected a file, got a pipe"):
            from_tables(tmp_path / name, {"image": tmp_path / "image.npy"})


def test_an_edited_run_is_told(tmp_path: Path) -> None:
    trained_by(*MILK)(tmp_path)
    line = ("--data", "data.npz", "--out", "run", "--resume", "--quiet")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    (tmp_path / "run" / "report.html").unlink()
    with inside(tmp_path):
        for change in ({"epochs": "NaN"}, {"epochs": [3, 3]}, {"test": []}, {"model": None, "valid": {"ndcg@10": "x"}}):
            (tmp_path / "run" / "summary.json").write_text(json.dumps(summary | change))
            assert cli(train.main, *line)[0] == 3


def _count(name: str, value: int) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(arrays: dict[str, Any], _meta: dict[str, Any]) -> None:
        arrays[name] = np.full_like(arrays[name], value)

    return change


def _past(**values: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda _arrays, meta: meta["history"].update(values)


STATES: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "a row that was seen long before": _count("seen", -(2**31)),
    "more steps than were taken": _count("step_count", 2**62),
    "a step of another epoch": lambda _, meta: meta.update(step=10**6),
    "a step that is no number": lambda _, meta: meta.update(step=None),
    "an epoch of the future": lambda _, meta: meta["history"]["records"][-1].update(epoch=10**18),
    "epochs in another order": lambda _, meta: meta["history"]["records"].reverse(),
    "no losses": lambda _, meta: meta["history"]["records"][0].pop("losses"),
    "records that are none": _past(records=[3]),
    "a best epoch that never was": _past(best_epoch=9),
    "evaluations as a list": _past(evaluations_since_best=[1]),
    "seconds as text": _past(seconds={"training": "long"}),
    "no seconds": _past(seconds=None),
    "seconds of nothing": _past(seconds={}),
    "records as text": _past(records=""),
    "a best epoch without a value": _past(best_value=None),
    "metrics that are none": lambda _, meta: meta["history"]["records"][0].update(valid=5),
    "losses as text": lambda _, meta: meta["history"]["records"][0]["losses"].update(total="much"),
    "the best model lost": lambda arrays, _: [arrays.pop(name) for name in list(arrays) if name.startswith("best_")],
    "the best model of one user": lambda arrays, _: arrays.update(best_P=arrays["best_P"][:1]),
}


@pytest.mark.parametrize("what", STATES)
def test_a_state_that_no_run_has_is_refused(tmp_path: Path, what: str) -> None:
    """Adam makes up for the steps since a row was seen: 2^31 of them looked like a hang, 2^62 overflowed."""
    trained_by(*MILK, "--max-epochs", "2")(tmp_path)
    file = tmp_path / "run" / "last.npz"
    arrays, meta = read_npz(file, "training state")
    STATES[what](arrays, meta)
    write_npz_atomic(file, arrays, meta)
    line = ("--data", "data.npz", "--out", "run", "--resume", "--max-epochs", "3", "--quiet")
    with inside(tmp_path):
        assert cli(train.main, *line)[0] == 3


def test_new_items_of_another_shape_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model(tmp_path)
    np.savez(tmp_path / "new.npz", image=np.ones((1, 1, 5), np.float32))
    assert recommend.main(["--model", str(tmp_path / "run"), "--new-item", str(tmp_path / "new.npz")]) == 3
    assert "array 'image': expected shape (items, width), got (1, 1, 5)" in capsys.readouterr().err


def test_titles_that_are_no_text_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    from milk_np.service.start import read_titles

    for content in (b"\xff\xfe", b'id,title\n"a'):
        (tmp_path / "titles.csv").write_bytes(content)
        if content.startswith(b"\xff"):
            with pytest.raises(DataError, match=r"titles\.csv: expected a CSV table in UTF-8"):
                read_titles(str(tmp_path / "titles.csv"))
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match=r"pipe\.csv: expected a file, got a pipe"):
        read_titles(str(tmp_path / "pipe.csv"))


def test_results_of_another_run_or_without_numbers_are_refused(tmp_path: Path) -> None:
    from fuzz_commands import REPRODUCE, reproduced

    from milk_np.cli import reproduce

    reproduced(tmp_path)
    line = (*REPRODUCE, "--report-only", "--quiet")
    paths = sorted((tmp_path / "results" / "runs").glob("*.json"))
    test = json.loads(paths[0].read_text())["test"]
    with inside(tmp_path):
        for change in (
            {"data_hash": "x"},
            {"seconds": "1"},
            {"seconds": ""},
            {"test": test | {"exposure": {"complete": 1}}},
            {"test": test | {"exposure": {"complete": {"top5": "x"}}}},
            {"valid": {}},
            {"test": {"slices": 1}},
            {"fit_bytes": [1]},
        ):
            before = paths[0].read_text()
            paths[0].write_text(json.dumps(json.loads(before) | change))
            assert cli(reproduce.main, *line)[0] == 3, change
            paths[0].write_text(before)
        assert cli(reproduce.main, *line)[0] == 0
        arrays, meta = read_npz(paths[0].with_suffix(".npz"), "per-user")
        write_npz_atomic(paths[0].with_suffix(".npz"), {"users": arrays["users"]}, meta)
        assert cli(reproduce.main, *line)[0] == 0  # a table without this test


def test_pretrained_tables_of_another_shape_are_learned_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from milk_np.training.pretraining import cache

    ds = data(tmp_path)
    path = tmp_path / "tables.npz"
    good = {"users": np.ones((ds.n_users, 3), np.float32), "items": np.ones((ds.n_items, 3), np.float32)}
    for bad in (
        {"users": good["users"][:-1]},
        {"items": np.full_like(good["items"], np.nan)},
        {"items": good["items"][0]},
    ):
        write_npz_atomic(path, good | bad, {"kind": cache.KIND, "core_seconds": 1.5})
        assert cache._read(path, ds) is None
        assert not path.exists()
    for seconds in ("1.5", True, -1.0, None):
        write_npz_atomic(path, good, {"kind": cache.KIND, "core_seconds": seconds})
        assert cache._read(path, ds) is None
    write_npz_atomic(path, good, {"kind": cache.KIND, "core_seconds": 1.5})
    assert cache._read(path, ds) is not None
