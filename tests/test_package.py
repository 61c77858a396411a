"""The package as it is built, installed and imported."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest

import milk_np

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "pyproject.toml"
BIN = ROOT / "bin"
SOURCES = {"milk_np": "milk_np", "kernels": "milk_np/kernels"}
SHIPPED = {".py", ".cu", ".cuh", ".typed"}

in_checkout = pytest.mark.skipif(
    not PROJECT.exists(), reason="the tests run without their checkout, as on an installed wheel"
)


def project() -> dict[str, Any]:
    return tomllib.loads(PROJECT.read_text())


def tree() -> Iterator[str]:
    """Names that the sources have once they are installed."""
    for folder, installed in SOURCES.items():
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in SHIPPED and "__pycache__" not in path.parts:
                yield f"{installed}/{path.relative_to(ROOT / folder)}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the source archive of a copy of the checkout, and of the wheel that is built from the archive."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("milk_np", "kernels", "bin", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.nb?"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    build("sdist", copy, out)
    with tarfile.open(next(out.glob("*.tar.gz"))) as archive:
        archive.extractall(copy / "unpacked", filter="data")
    build("wheel", next((copy / "unpacked").iterdir()), out)
    return out


def build(what: str, source: Path, out: Path) -> None:
    """Build the "sdist" or the "wheel" of `source` in `out`, with the setuptools that is installed."""
    code = f"import sys; from setuptools import build_meta; build_meta.build_{what}(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@in_checkout
def test_the_wheel_holds_every_source_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == set(tree())


@in_checkout
def test_the_source_archive_holds_what_is_needed_to_build_and_test(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    tests = {f"tests/{path.relative_to(ROOT / 'tests')}" for path in (ROOT / "tests").rglob("*.py")}
    commands = {f"bin/{path.name}" for path in BIN.iterdir() if path.is_file()}
    assert tests | commands | {"pyproject.toml", "setup.py", "LICENSE", "CHANGELOG.md", "kernels/__init__.py"} <= names


@in_checkout
def test_every_command_has_a_wrapper_that_runs_it() -> None:
    scripts = project()["project"]["scripts"]
    wrappers = {path.name: path for path in BIN.iterdir() if path.is_file()}
    assert set(wrappers) == set(scripts)
    for name, path in wrappers.items():
        assert os.access(path, os.X_OK), name
        assert f'import_module("{scripts[name].partition(":")[0]}").main()' in path.read_text()


@in_checkout
def test_the_wrappers_differ_by_the_command_only() -> None:
    texts = {path.read_text().replace(f"milk_np.cli.{path.name.removeprefix('milk-')}", "") for path in BIN.iterdir()}
    assert len(texts) == 1


@in_checkout
def test_a_wrapper_runs_the_checkout_from_any_folder(tmp_path: Path) -> None:
    shown = subprocess.run(
        [BIN / "milk-doctor", "--version"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown == f"milk_np {milk_np.__version__}\n"


@in_checkout
def test_the_version_is_the_same_everywhere() -> None:
    assert version("milk-np") == milk_np.__version__
    for name, pattern in (("CITATION.cff", r"^version: (.+)$"), ("CHANGELOG.md", r"^## \[?(\d[^]\s]*)\]?")):
        found = re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)
        assert found is not None, name
        assert found.group(1) == milk_np.__version__, name


COMMANDS = sorted(entry.name for entry in entry_points(group="console_scripts") if entry.name.startswith("milk-"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_installed_command_explains_itself(command: str) -> None:
    (entry,) = entry_points(group="console_scripts", name=command)
    code = f"import sys; sys.argv = [{command!r}, '--help']; from {entry.module} import main; sys.exit(main())"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for text in (f"usage: {command}", "examples:", "exit codes:", "default"):
        assert text in shown


@in_checkout
def test_every_option_that_the_readme_names_exists() -> None:
    helps = [subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True, check=True).stdout
             for path in BIN.iterdir() if path.is_file()]  # fmt: skip
    known = set(re.findall(r"--[a-z][a-z-]*", " ".join(helps)))
    assert set(re.findall(r"(?<![\\w-])--[a-z][a-z-]*", (ROOT / "README.md").read_text())) <= known


@in_checkout
def test_every_extra_brings_what_something_imports() -> None:
    """A distribution that no file of the package, the tests or the benchmarks imports would be idle."""
    names = {"cupy-cuda13x": "cupy", "cupy-cuda12x": "cupy", "faiss-cpu": "faiss", "mlflow-skinny": "mlflow"}
    names |= {"mpich": "mpi4py", "pytest-xdist": "pytest"}  # which load them
    tools = {"dev", "bench", "notebook", "a11y"}  # of the last two a kernel is started and a script is read
    texts = [path.read_text() for folder in ("milk_np", "kernels", "tests") for path in (ROOT / folder).rglob("*.py")]
    for extra, distributions in project()["project"]["optional-dependencies"].items():
        for distribution in () if extra in tools else distributions:
            name = re.split(r"[\[><=]", distribution)[0]
            module = names.get(name, name.replace("-", "_"))
            loads = rf"\b(import|from) {module}\b|(import_module|importorskip|find_spec)\(\"{module}\b"
            assert any(re.search(loads, text) for text in texts), (extra, name)


def loaded_by(code: str) -> set[str]:
    """Modules that are loaded after `code` ran in a process of its own."""
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(shown.split())


HEAVY = {"numba", "llvmlite", "cupy", "scipy.stats", "scipy.sparse", "pyarrow", "matplotlib", "tqdm", "torch"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_by("import milk_np")
    assert "milk_np" in loaded
    assert loaded & (HEAVY | {"scipy", "numpy"}) == set()
    assert {name for name in loaded if name.startswith("milk_np")} == {"milk_np", "milk_np.text"}


@pytest.mark.parametrize("module", ["settings.shared", "models.registry", "cli.common", "cli.train", "cli.doctor"])
def test_commands_load_numpy_only_after_the_threads_are_settled(module: str) -> None:
    assert loaded_by(f"import milk_np.{module}") & (HEAVY | {"numpy"}) == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command: str) -> None:
    (entry,) = entry_points(group="console_scripts", name=command)
    code = (
        f"import sys, contextlib, io; sys.argv = [{command!r}, '--help']\n"
        f"from {entry.module} import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main()\n"
        "pass"
    )
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout
    loaded = set(shown.split())
    assert "milk_np.cli.parser" in loaded
    assert loaded & (HEAVY | {"numpy", "scipy"}) == set()


def test_settings_of_every_model_load_nothing_heavy() -> None:
    loaded = loaded_by("from milk_np.models import registry; [registry.settings_class(n)() for n in registry.MODELS]")
    assert "milk_np.models.kernel_profile.settings" in loaded
    assert loaded & (HEAVY | {"numpy", "scipy"}) == set()


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(milk_np.__file__).parent / "py.typed").exists()
