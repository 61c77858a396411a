"""The table of formats: its rows name functions that are there and take what the command gives them."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from milk_np.cli.prepare import main
from milk_np.data import Dataset
from milk_np.data.importers.assemble import Raw, assemble
from milk_np.data.importers.detect import detect_format
from milk_np.data.importers.formats import FORMATS, Format, reader
from milk_np.data.importers.preparation import Preparation


@pytest.mark.parametrize("name", FORMATS)
def test_a_reader_takes_the_options_of_its_format(name: str) -> None:
    parameters = list(inspect.signature(reader(name)).parameters)
    assert set(FORMATS[name].options) <= set(parameters)
    assert parameters.index("how") == (2 if "features" in FORMATS[name].options else 1)


@pytest.mark.parametrize("name", FORMATS)
def test_sources_of_a_format_can_be_known(name: str) -> None:
    assert FORMATS[name].mark or FORMATS[name].suffixes


def from_pairs(path: Path, how: Preparation | None = None, *, user_col: str = "0") -> Dataset:
    """A toy format: pairs, one a line; item i's features are i and the user's column."""
    user, item = np.loadtxt(path, np.int64).T
    features = {"text": np.stack([np.arange(9.0) + 1, np.full(9, float(user_col))], 1).astype(np.float32)}
    return assemble(Raw(user, item, features, meta={"name": path.stem}), how or Preparation())


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "pairs", Format(f"{__name__}:from_pairs", suffixes=(".pairs",), options=("user_col",)))


@pytest.mark.usefixtures("row")
def test_a_function_and_a_row_are_a_format(tmp_path: Path) -> None:
    source, out = tmp_path / "toy.pairs", tmp_path / "toy.npz"
    source.write_text("".join(f"{n % 4} {n}\n" for n in range(9)))
    assert detect_format(source) == "pairs"
    assert main([str(source), "--user-col", "3", "--out", str(out), "--quiet"]) == 0
    ds = Dataset.load(out)
    assert (ds.name, ds.n_items, len(ds.user)) == ("toy", 9, 9)
    assert ds.features["text"][:, 1].tolist() == [3.0] * 9


@pytest.mark.usefixtures("row")
def test_options_of_other_formats_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "toy.pairs"
    source.write_text("0 0\n")
    assert main([str(source), "--item-col", "sku", "--out", str(tmp_path / "toy.npz")]) == 2
    assert "--item-col" in capsys.readouterr().err
    assert main([str(source), "image.npy", "--out", str(tmp_path / "toy.npz")]) == 2
    assert "expected one pairs source, also got image.npy" in capsys.readouterr().err
