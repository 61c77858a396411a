"""milk-export: files in every format give the lists of the model, and so do the recipes of the docs."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained_cases import Trained, make_trained

from milk_np.cli import export
from milk_np.models.stored import StoredModel, load

GUIDE = Path(__file__).parents[2] / "docs" / "vectors.md"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return make_trained(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def model(trained: Trained) -> StoredModel:
    return load(Path(trained.run) / "model.npz")


def exported(trained: Trained, out: Path, *options: str) -> Path:
    assert export.main(["--model", trained.run, "--out", str(out), "--quiet", *options]) == 0
    return out


def items_of(model: StoredModel) -> tuple[list[str], Any]:
    numbers = model.catalogue.new_items()
    return model.catalogue.items.words(numbers.tolist()), model.item_factors(numbers)


def test_parquet(trained: Trained, model: StoredModel, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    ids, vectors = items_of(model)
    table = parquet.read_table(exported(trained, tmp_path / "items.parquet"))
    assert (table.column_names, table["id"].to_pylist()) == (["id", "vector"], ids)
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), np.float32), vectors)
    table = parquet.read_table(exported(trained, tmp_path / "users.parquet", "--what", "users"))
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), np.float32), model.user_factors())
    assert table["id"].to_pylist() == model.catalogue.user_ids.tolist()  # type: ignore[union-attr]


def test_owned_modalities_are_those_of_the_data(trained: Trained, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = exported(trained, tmp_path / "items.parquet", "--data", trained.data, "--candidates", "all")
    table, ds = parquet.read_table(out), trained.ds
    expected = [[name for m, name in enumerate(ds.modalities) if has[m]] for has in ds.available]
    assert (table["id"].to_pylist(), table["owned"].to_pylist()) == (ds.item_ids.tolist(), expected)  # type: ignore[union-attr]


def test_safetensors(trained: Trained, model: StoredModel, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    ids, vectors = items_of(model)
    out = exported(trained, tmp_path / "items.safetensors", "--data", trained.data)
    with safetensors.safe_open(out, "numpy") as file:
        assert json.loads(file.metadata()["ids"]) == ids
        assert json.loads(file.metadata()["modalities"]) == list(trained.ds.modalities)
        np.testing.assert_array_equal(file.get_tensor("owned"), trained.ds.available[model.catalogue.new_items()])
    with safetensors.safe_open(exported(trained, out), "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("vectors"), vectors)


def test_numpy(trained: Trained, model: StoredModel, tmp_path: Path) -> None:
    ids, vectors = items_of(model)
    np.testing.assert_array_equal(np.load(exported(trained, tmp_path / "items.npy")), vectors)
    assert np.load(tmp_path / "items.ids.npy").tolist() == ids


@pytest.mark.parametrize("of_data", [False, True])
def test_cut_to_the_numbers_that_say_most(trained: Trained, model: StoredModel, tmp_path: Path, of_data: bool) -> None:
    options = ("--data", trained.data) if of_data else ()

    def scores(*width: str) -> Any:
        items = np.load(exported(trained, tmp_path / "items.npy", *width, *options))
        users = np.load(exported(trained, tmp_path / "users.npy", "--what", "users", *width, *options))
        assert items.shape[1] == users.shape[1] == min(int(width[1]) if width else 999, model.width)
        return users @ items.T

    whole = scores()
    errors = [
        np.linalg.norm(scores("--width", str(width)) - whole) / np.linalg.norm(whole)
        for width in (1, 6, model.width, 999)
    ]
    assert errors[0] > errors[1] > 1e-4 > 1e-5 > errors[2]
    assert errors[2] == errors[3]


def test_faiss(trained: Trained, model: StoredModel, tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    index = faiss.read_index(str(exported(trained, tmp_path / "items.faiss")))
    ids = np.load(tmp_path / "items.ids.npy")
    score, place = index.search(model.user_factors(), 10)
    expected = model.recommend(k=10, exclude_seen=False)
    np.testing.assert_allclose(score, expected.score, rtol=1e-4, atol=1e-6)
    assert (ids[place] == expected.found).mean() > 0.99  # scores that differ by rounding may change places


@pytest.mark.parametrize("impute", ["mean", "zero"])
def test_onnx_encodes_as_the_model_does(trained: Trained, tmp_path: Path, impute: str) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    import onnxruntime as runtime

    from milk_np.models.milk.model import Milk

    model = Milk(dim=8, max_epochs=1, eval_every=1, impute=impute).fit(trained.ds)
    model.save(tmp_path / "model.npz")
    out = tmp_path / "encoder.onnx"
    assert export.main(["--model", str(tmp_path / "model.npz"), "--out", str(out), "--quiet"]) == 0
    rng = np.random.default_rng(0)
    rows = {
        name: rng.standard_normal((9, trained.ds.features[name].shape[1]), np.float32) for name in ("image", "text")
    }
    rows["text"][3] = 0
    owned = np.array([[True, True], [True, False], [False, True]] * 3)
    session = runtime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    (found,) = session.run(["vector"], {**rows, "owned": owned})
    np.testing.assert_allclose(found, model.encode_items(rows, owned), rtol=1e-4, atol=1e-6)


def test_what_has_no_onnx_encoder_says_so(trained: Trained, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("onnx")
    from milk_np.models.kernel_profile.model import KernelProfile
    from milk_np.models.milk.model import Milk

    for model in (KernelProfile(), Milk(dim=4, max_epochs=1, eval_every=1, impute="map")):
        model.fit(trained.ds).save(tmp_path / "model.npz")
        assert export.main(["--model", str(tmp_path / "model.npz"), "--out", str(tmp_path / "x.onnx")]) == 2
    told = capsys.readouterr().err
    assert "has no ONNX encoder" in told
    assert "impute map: an ONNX encoder takes the same row" in told
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--out", "x.csv"], "expected a name that ends in .parquet, .safetensors, .npy, .faiss, got .csv"),
        (["--out", "x.npy", "--what", "users", "--candidates", "all"], "applies to items"),
        (["--out", "x.npy", "--width", "0"], "--width: got 0, expected a whole number of at least 1"),
        (["--out", "x.onnx", "--width", "9"], "leave it out with .onnx"),
    ],
)
def test_mistakes(trained: Trained, options: list[str], says: str, capsys: Any) -> None:
    assert export.main(["--model", trained.run, *options]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(("name", "extra"), [("x.faiss", "ann"), ("x.safetensors", "export"), ("x.onnx", "onnx")])
def test_an_absent_extra_is_named(
    trained: Trained, name: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda library: None)
    assert export.main(["--model", trained.run, "--out", name]) == 2
    assert f"milk-np[{extra}]" in capsys.readouterr().err


def recipes() -> dict[str, str]:
    """Code of the guide's recipes by their headings."""
    if not GUIDE.exists():
        return {}
    parts = re.findall(r"^### (.+?)$.*?^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return dict(parts)


@pytest.mark.parametrize("name", recipes())
def test_the_recipes_of_the_guide(
    trained: Trained, model: StoredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    code = recipes()[name]
    for library in re.findall(r"^import (\w+)", code, re.MULTILINE):
        if find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    monkeypatch.chdir(tmp_path)
    for out, *options in (["items.parquet"], ["users.parquet", "--what", "users"], ["items.npy"]):
        exported(trained, Path(out), *options)
    for out, library in (("items.faiss", "faiss"), ("encoder.onnx", "onnx")):
        if find_spec(library) is not None:
            exported(trained, Path(out))
    names: dict[str, Any] = {"user": "u7"}
    exec(compile(code, str(GUIDE), "exec"), names)
    if "found" in names:
        assert names["found"] == model.recommend(["u7"], 10, exclude_seen=False).found[0].tolist()
    else:
        rows = {m: np.ones((2, trained.ds.features[m].shape[1]), np.float32) for m in trained.ds.modalities}
        expected = model.encode_items(rows, names["owned"])
        np.testing.assert_allclose(names["vectors"], expected, rtol=1e-4, atol=1e-6)
