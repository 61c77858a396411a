"""Plants errors in a copy of the package, one at a time, and shows which test catches each.

The lists are in `mutations.py` (NumPy and Numba) and `gpu_mutations.py` (CUDA C); `nn/test_planted_errors.py` plants
its own in modules of this process.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from milk_np.kernels.cpu import disk_cache

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Mutation:
    """`old`, which stands exactly once in `file` (from the root of the repository), becomes `new`."""

    name: str
    file: str
    old: str
    new: str

    def planted(self, text: str) -> str:
        """The file's text with the error in it; ValueError if its place is gone."""
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"{self.file}: {self.old!r} stands there {count} times, expected once")
        return text.replace(self.old, self.new)


def both(
    name: str, family: str, reference: tuple[str, str], cpu: tuple[str, str], cpu_family: str = ""
) -> list[Mutation]:
    """The same error in a kernel's plain version and in the fast one."""
    return [
        Mutation(name, f"kernels/reference/{family}.py", *reference),
        Mutation(name, f"kernels/cpu/{cpu_family or family}.py", *cpu),
    ]


@dataclass(frozen=True)
class Proof:
    """What runs the tests that have to catch an error: Python's command and variables of its environment."""

    tests: tuple[str, ...]
    python: tuple[str, ...] = (sys.executable,)
    environment: dict[str, str] = field(default_factory=dict, hash=False)


class Copy:
    """A copy of the package in `folder`, always in the same place, and the code compiled for it.

    Functions in files that an error leaves alone are not compiled again: the right package's compiled code is taken.
    """

    def __init__(self, folder: Path) -> None:
        self.site, self.compiled = folder / "site", folder / "compiled"
        self.put(None)
        self.right = self._code()

    def put(self, mutation: Mutation | None) -> None:
        """Make the copy anew, with the error in it."""
        shutil.rmtree(self.site, ignore_errors=True)
        leave = shutil.ignore_patterns("__pycache__")
        package = shutil.ignore_patterns("__pycache__", "kernels")  # a checkout may reach them by a link
        shutil.copytree(ROOT / "milk_np", self.site / "milk_np", ignore=package)
        shutil.copytree(ROOT / "kernels", self.site / "milk_np" / "kernels", ignore=leave)
        if mutation is None:
            return
        path = self.site / "milk_np" / mutation.file.removeprefix("milk_np/")
        path.write_text(mutation.planted(path.read_text()))
        if self.right.exists() and not self._code().exists():
            shutil.copytree(self.right, self._code())

    def _code(self) -> Path:
        """Where the copy's compiled kernels are kept."""
        return self.compiled / "milk_np" / f"kernels-{disk_cache.fingerprint(self.site / 'milk_np' / 'kernels')}"

    def caught_by(self, proof: Proof) -> str:
        """The first test that fails on the copy, and how; or nothing. The copy is the folder that the tests run in."""
        options = ["-x", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
        tests = [str(ROOT / test) for test in proof.tests]
        own = {"PYTHONPATH": str(self.site), "NUMBA_CACHE_DIR": str(self.compiled), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [*proof.python, "-m", "pytest", *options, *tests],
            cwd=self.site,
            env={**os.environ, **own, **proof.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        outside = f"{os.path.relpath(ROOT, self.site)}/"  # pytest names tests from the folder that it runs in
        return failure(done.returncode, (done.stdout + done.stderr).replace(outside, ""))


def failure(code: int, shown: str) -> str:
    """What a run of pytest that ended with `code` says of its failure; nothing if it passed."""
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", shown, re.MULTILINE)
    barrier = re.search(r"barrier divergence, line \d+", shown)
    crash = f"exit code {code}" if code < 0 or (code and not found) else ""
    return " ".join(filter(None, (found.group(1) if found else "", barrier.group(0) if barrier else "", crash)))


def run(mutations: Sequence[Mutation], proof_of: Callable[[Mutation], Proof], words: Iterable[str]) -> int:
    """Plant those whose name or file holds one of `words` (all without words) and print a Markdown table.

    Returns 1 if no test catches one of them, else 0; ends if a test fails without an error planted.
    """
    words = tuple(words) or ("",)
    chosen = [each for each in mutations if any(word in each.name + each.file for word in words)]
    if not chosen:
        raise SystemExit(f"no error's name or file holds {' or '.join(words)}")
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        for proof in dict.fromkeys(proof_of(mutation) for mutation in chosen):
            if found := copy.caught_by(proof):
                raise SystemExit(f"{found} fails without any error planted")
        print("| planted error | in | caught by |\n|---|---|---|", flush=True)
        caught = [_shown(copy, mutation, proof_of(mutation)) for mutation in chosen]
        return int(not all(caught))


def _shown(copy: Copy, mutation: Mutation, proof: Proof) -> bool:
    """Print the error's row; whether a test caught it."""
    copy.put(mutation)
    found = copy.caught_by(proof)
    name = mutation.name.replace("|", "\\|")  # a bar would begin another cell
    print(f"| {name} | {mutation.file} | {found or '**nothing**'} |", flush=True)
    return bool(found)
