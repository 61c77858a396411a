"""The walks of CONTRIBUTING.md, done in a copy of the package and run: their code is whole, their rows find a place."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
TEXT = ROOT / "CONTRIBUTING.md"
LIMITS = {"kernel": 4, "block": 1, "metric": 1, "format": 2, "command": 3, "device": 3, "system": 3}
"""Places that a walk touches: files, or a new folder of a model with all that is in it."""

pytestmark = pytest.mark.skipif(not TEXT.exists(), reason="the tests run without their checkout")


class Step(NamedTuple):
    """A piece of a walk: a new file, or rows below the line that begins with `after`."""

    path: str
    after: str
    code: str


def walk(name: str) -> str:
    """The text of a walk."""
    found = re.search(rf"^### A {name} \(.*?(?=^##|\Z)", TEXT.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found.group()


def steps(name: str) -> list[Step]:
    """The pieces of a walk, in order."""
    piece = r"^`(\S+)`(?:, below `([^`\n]+)`)?:\n\n```(?:python|toml|text)\n(.*?)^```$"
    found = re.findall(piece, walk(name), re.MULTILINE | re.DOTALL)
    return [Step(*each) for each in found]


def wrapper(name: str) -> list[str]:
    """The shell commands that a walk gives for a wrapper of bin/."""
    return re.findall(r"`(sed [^`]+)`", walk(name))


def do(root: Path, step: Step) -> None:
    """Do one step in the copy at `root`."""
    path = root / step.path
    if not step.after:
        assert not path.exists(), f"{step.path} is there already"
        path.parent.mkdir(exist_ok=True)
        path.write_text(step.code)
        return
    lines = path.read_text().splitlines(keepends=True)
    places = [n for n, line in enumerate(lines) if line.strip().startswith(step.after)]
    assert len(places) == 1, f"{step.path}: {step.after!r} begins {len(places)} lines"
    path.write_text("".join([*lines[: places[0] + 1], step.code, *lines[places[0] + 1 :]]))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which all walks have been done."""
    root = tmp_path_factory.mktemp("walks")
    for folder in ("milk_np", "kernels", "bin"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root)
    for name in LIMITS:
        for step in steps(name):
            do(root, step)
        for command in wrapper(name):
            subprocess.run(command, shell=True, cwd=root, check=True)
    return root


@pytest.fixture(scope="module")
def data(copy: Path) -> Path:
    """A data set read by the walk's format."""
    rng = np.random.default_rng(0)
    pairs = sorted({(u, i) for u, i in rng.integers(0, (40, 30), (400, 2)).tolist()})
    lines = [json.dumps({"user": user, "item": item}) for user, item in pairs]
    (copy / "log.jsonl").write_text("\n".join(lines))
    np.save(copy / "text.npy", rng.standard_normal((30, 6)).astype(np.float32))
    run(copy, "bin/milk-prepare", "log.jsonl", "text.npy", "--out", "data.npz", "--quiet")
    return copy / "data.npz"


def run(root: Path, *command: str) -> str:
    """What Python prints that runs `command` in the copy."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(root / "compiled"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_code(root: Path, code: str) -> str:
    start = f"import sys; sys.path.insert(0, {str(root)!r}); import milk_np; milk_np.__path__.append({str(root)!r})\n"
    return run(root, "-c", start + code)


def trained(root: Path, data: Path, out: str, *options: str) -> dict[str, float]:
    """Test metrics of a small run."""
    common = (
        "--data",
        str(data),
        "--protocol",
        "FTFT",
        "--topk",
        "5",
        "--valid-metric",
        "precision@5",
        "--out",
        out,
        "--quiet",
    )
    run(root, "bin/milk-train", *common, *options)
    found: dict[str, float] = json.loads((root / out / "summary.json").read_text())["test"]
    return found


def place(path: str) -> str:
    """`path`, or the folder of the model that it belongs to."""
    folder = Path(path).parent
    return path if folder.parent != Path("milk_np/models") else str(folder)


@pytest.mark.parametrize("name", LIMITS)
def test_a_walk_touches_few_places(name: str) -> None:
    paths = [step.path for step in steps(name)] + [command.split()[3] for command in wrapper(name)]
    touched = {place(path) for path in paths}
    assert len(touched) == LIMITS[name]
    told = "(a folder and 2 files)" if name == "system" else f"({len(touched)} file"
    assert told in walk(name)


@pytest.mark.parametrize("name", LIMITS)
def test_the_tests_that_a_walk_names_are_there(name: str) -> None:
    named = {path for path in re.findall(r"`((?:tests|benchmarks)/[\w/.]*)`", walk(name)) if "NAME" not in path}
    assert named or name == "system"
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_wheel_has_the_new_packages(copy: Path) -> None:
    run(copy, "-c", "from setuptools import build_meta; build_meta.build_wheel('dist')")
    with zipfile.ZipFile(next((copy / "dist").glob("*.whl"))) as wheel:
        assert {"milk_np/models/centroid/model.py", "milk_np/kernels/plain/__init__.py"} <= set(wheel.namelist())


def test_the_kernel(copy: Path) -> None:
    code = """
import numpy as np
from milk_np.kernels import cpu, reference
ids, out = np.array([3, 0, 3], np.int32), [np.full(5, 7) for _ in range(2)]
for kernels, counted in zip((cpu, reference), out):
    kernels.counts(ids, counted)
    assert "counts" in kernels.__all__
print(*(counted.tolist() for counted in out))
"""
    assert run_code(copy, code) == "[1, 0, 0, 2, 0] [1, 0, 0, 2, 0]\n"


def test_the_block(copy: Path) -> None:
    code = """
import numpy as np
from milk_np.nn.gradcheck import check_direction
from milk_np.nn.softsign import softsign_backward, softsign_forward
x, dout = np.random.default_rng(0).standard_normal((2, 5, 3))
dx = softsign_backward(dout, softsign_forward(x)[1])
print(check_direction(lambda: float((softsign_forward(x)[0] * dout).sum()), [x], [dx], seed=1).error)
"""
    assert float(run_code(copy, code)) < 1e-7


def test_the_command_on_a_set_of_the_format(copy: Path, data: Path) -> None:
    pairs = len((copy / "log.jsonl").read_text().splitlines())
    assert run(copy, "bin/milk-count", "--data", str(data)) == f"40 users, 30 items, {pairs} pairs\n"
    scripts = tomllib.loads((copy / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["milk-count"] == "milk_np.cli.count:main"


def test_the_metric_on_the_device(copy: Path, data: Path) -> None:
    options = ("--epochs", "2", "--dim", "4")
    told = [trained(copy, data, device, "--device", device, *options) for device in ("plain", "cpu")]
    assert 0 < told[0]["precision@5"] <= 1
    assert told[0]["precision@5"] == told[1]["precision@5"]


def test_the_system(copy: Path, data: Path) -> None:
    assert trained(copy, data, "centroid", "--model", "centroid", "--prior", "2")["recall@5"] > 0
    assert "--prior X" in run(copy, "bin/milk-train", "--model", "centroid", "--help")
    assert run_code(copy, "print(milk_np.Centroid.name, 'Centroid' in dir(milk_np))") == "centroid True\n"
    new = np.ones((1, 6), np.float32)
    np.savez(copy / "new.npz", text=new)
    shown = run(
        copy, "bin/milk-recommend", "--model", "centroid", "--data", str(data), "--new-item", "new.npz", "--topk", "3"
    )
    assert shown
