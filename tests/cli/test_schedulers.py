"""The recipes of docs/schedulers.md, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from trained_cases import Trained, make_trained

from milk_np.cli import merge
from milk_np.models.stored import load

pa = pytest.importorskip("pyarrow")
PAGE = Path(__file__).parents[2] / "docs" / "schedulers.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the tests run without their checkout")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model that the recipes name."""
    folder = tmp_path_factory.mktemp("shop")
    made: Trained = make_trained(folder)
    (folder / "runs").mkdir()
    Path(made.run).rename(folder / "runs" / "shop")
    return folder


def block(language: str, beginning: str) -> str:
    """The page's block that begins so."""
    found = re.findall(rf"^```{language}\n({re.escape(beginning)}.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_function_for_spark(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record batches in, record batches out of the schema that the page names."""
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(block("python", "def lists"), names)
    users = [["u3", "u17"], [], ["u5"]]
    batches = [pa.RecordBatch.from_pydict({"user": pa.array(each, pa.string())}) for each in users]
    found = list(names["lists"](iter(batches)))  # type: ignore[operator]
    fields = re.findall(r"(\w+) (\w+)", re.search(r'schema = "(.*)"', PAGE.read_text())[1])  # type: ignore[index]
    types = {"string": pa.string(), "int": pa.int32(), "float": pa.float32()}
    assert all(batch.schema == pa.schema([(name, types[kind]) for name, kind in fields]) for batch in found)
    expected = load("runs/shop/model.npz").recommend(["u3", "u17", "u5"], 20)
    table = pa.Table.from_batches(found)
    assert table["user"].to_pylist() == np.repeat(expected.query, 20).tolist()
    assert table["item"].to_pylist() == expected.found.ravel().tolist()
    np.testing.assert_array_equal(table["score"].to_numpy(), expected.score.ravel())


def test_the_script_for_slurm(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two tasks of it, in the environment that Slurm gives them; the other six parts are named as missing."""
    (tmp_path / "runs").symlink_to(folder / "runs")
    script = tmp_path / "lists.sh"
    script.write_text(block("bash", "#!/bin/bash"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for task in ("1", "8"):
        slurm = {"SLURM_ARRAY_TASK_ID": task, "SLURM_CPUS_PER_TASK": "1"}
        subprocess.run(["bash", "-e", str(script)], cwd=tmp_path, env={**os.environ, **slurm, "PATH": path}, check=True)
    assert merge.main([str(tmp_path / "lists"), "--out", str(tmp_path / "lists.csv")]) == 3
    assert "missing 2/8, 3/8, 4/8, 5/8, 6/8, 7/8 of 8 parts" in capsys.readouterr().err
