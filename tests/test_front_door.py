"""The front door in Python: the README's lines run and pass mypy --strict; editors and type checkers know the settings.

A type checker sees a package as it is installed, so that the package is copied to where one would be.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import pytest

import milk_np
import milk_np.kernels
from milk_np.data import make_synthetic
from milk_np.models.registry import constructor_options, model_class, trained

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"

needs_checkout = pytest.mark.skipif(not README.exists(), reason="the tests run without their checkout")


def readme() -> str:
    """The README's lines of Python."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(block)


@needs_checkout
def test_the_lines_of_the_readme_run(tmp_path: Path) -> None:
    ds = make_synthetic(60, 150, 900, {"text": 384, "vggish": 12, "whisper": 16}, seed=2)
    ds.save(tmp_path / "lfm2k.npz")
    code = readme() + "print(lists.to_arrow().num_rows, whom.found.shape, served)\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "K = 20" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("10 (2, 5) <Milk(seed=1, max_epochs=100), fitted: users 60")
    assert "epoch" in done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as an installation has it."""
    pytest.importorskip("mypy", reason="mypy is not installed (extra: dev)")
    site = tmp_path_factory.mktemp("site")
    ignore = shutil.ignore_patterns("__pycache__", "*.nb?", "*.cu", "*.cuh")
    shutil.copytree(Path(milk_np.__file__).parent, site / "milk_np", ignore=ignore)
    kernels = Path(milk_np.kernels.__file__).parent
    shutil.copytree(kernels, site / "milk_np" / "kernels", ignore=ignore, dirs_exist_ok=True)
    return site


def said(site: Path, code: str) -> list[str]:
    """What mypy --strict says of a program: kind and message of each line, without the summary."""
    # A name of its own: mypy takes a program of the same name, size and second for the one it has seen.
    program = site / f"program_{crc32(code.encode()):08x}.py"
    program.write_text(code, encoding="utf-8")
    options = ["--strict", "--follow-imports=silent", "--no-error-summary", "--no-color-output", "--no-pretty"]
    line = [sys.executable, "-m", "mypy", *options, "--config-file=", f"--cache-dir={site / 'cache'}", program.name]
    done = subprocess.run(line, cwd=site, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    lines = [re.sub(r"^program_\w+\.py:\d+: (\w+: )", r"\1", text) for text in done.stdout.splitlines()]
    return [line for line in lines if not re.match(r'note: "\w+" defined in', line)]


@needs_checkout
def test_the_lines_of_the_readme_pass_mypy(installed: Path) -> None:
    more = """
from milk_np import KernelProfile, KernelProfileSettings, Listener, MilkSettings, Progress
frame = lists.to_pandas()
guests = KernelProfile(landmarks=64).fit(ds, callback=[show_progress(), Listener()]).recommend_for_histories([["a"]])
users = evaluate(model, ds, users=["a"]).by_user.to_pandas()
again = Milk(MilkSettings(lr=0.01), negatives=None, topk=[5, 10]).set_params(lr=0.1)
def stop(event: Progress) -> None:
    event.stop()
again.fit(ds, callback=stop).recommend(frame["user"]).to_arrow()
"""
    assert said(installed, readme() + more) == []


def test_type_checkers_know_every_setting_of_every_model(installed: Path) -> None:
    names = [model_class(name).__name__ for name in trained()]
    code = f"from milk_np import {', '.join(names)}\n" + "".join(f"reveal_type({name})\n" for name in names)
    shown = said(installed, code)
    assert len(shown) == len(names)
    for name, text in zip(trained(), shown, strict=True):
        for setting, option in constructor_options(name).items():
            kind = (option.number or option.type).__name__
            words = option.choices and option.number is None
            wanted = re.escape(option.choices[0]) if words else rf"{kind}\b"
            assert re.search(rf"\*?, {setting}: [^,]*{wanted}", text), (name, setting, text)
        assert text.endswith(f'{model_class(name).__name__}"')


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("Milk(dimm=3)", r'Unexpected keyword argument "dimm" for "Milk"; did you mean "dim"\?'),
        ("Milk(dim='3')", r'Argument "dim" to "Milk" has incompatible type "str"; expected "int"'),
        ("Milk(users='fre')", r'Argument "users" .* expected "(typing\.)?Literal\[\'free\', \'profile\', \'both\'\]"'),
        ("Milk(landmarks=3)", r'Unexpected keyword argument "landmarks" for "Milk"'),
        ("KernelProfile(rarity=[.5])", r'Argument "rarity" to "KernelProfile" has incompatible type'),
        ("MilkSettings(dimm=3)", r'Unexpected keyword argument "dimm" for "MilkSettings"'),
        ("Milk().recommend(3.5)", r'Argument 1 to "recommend" of "Serving" has incompatible type "float"'),
        ("reveal_type(Milk().settings.users)", r'Revealed type is "(builtins\.)?str"'),
        ("reveal_type(Milk().fit)", r"Revealed type is .*-> milk_np\.models\.milk\.model\.Milk"),
    ],
)
def test_type_checkers_find_what_is_wrong(installed: Path, code: str, wanted: str) -> None:
    found = said(installed, f"from milk_np import KernelProfile, Milk, MilkSettings\n{code}\n")
    assert len(found) == 1
    assert re.search(wanted, found[0]), found
