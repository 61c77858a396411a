"""Commands in what containers are like: roots that can't be written, users nobody knows, the same process ids again.

The environments are made of Linux namespaces, in processes of their own; where the system doesn't let a user make
them, the tests are skipped by name.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from job_cases import MILK, contents, data, model

from milk_np.kernels.cpu import disk_cache
from milk_np.models.stored import StoredModel, load

PROGRAM = f"""
import sys
from milk_np.cli import recommend, train
line = ["--data", "data.npz", "--out", "out/run", {", ".join(map(repr, MILK))}, "--quiet", *sys.argv[1:]]
code = train.main(line) or recommend.main(["--model", "out/run", "--users", "u1,u2", "--topk", "4"])
sys.exit(code)
"""


def namespaces(*kinds: str) -> list[str]:
    """What makes namespaces of these kinds; skips where it isn't allowed."""
    line = ["unshare", *(f"--{kind}" for kind in kinds)]
    try:
        done = subprocess.run([*line, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare (util-linux) is not installed")
    if done.returncode:
        pytest.skip(f"this system doesn't allow {shlex.join(line)}: {done.stderr.strip()}")
    return line


def run(folder: Path, *line: str, before: str = "", program: str = PROGRAM, **env: str | None) -> str:
    """What the program prints in an environment that `line` makes and the shell's commands `before` change."""
    (folder / "out").mkdir(exist_ok=True)
    known = {**os.environ, "XDG_CACHE_HOME": str(disk_cache.folder().parent.parent), **env}
    script = f"set -e\n{before}\nexec {shlex.quote(sys.executable)} -c {shlex.quote(program)}"
    done = subprocess.run(
        [*line, "sh", "-c", script],
        cwd=folder,
        env={name: value for name, value in known.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the program prints everywhere."""
    folder = tmp_path_factory.mktemp("plain")
    data(folder)
    return run(folder)


READ_ONLY = """
mount --make-rprivate /
mount -t tmpfs none out
mount -o remount,bind,ro /
if touch data.npz 2>/dev/null; then echo "the root can be written"; fi
"""


def test_a_root_that_cannot_be_written(folder: Path, expected: str) -> None:
    line = namespaces("user", "map-root-user", "mount")
    assert run(folder, *line, before=READ_ONLY) == expected


def test_a_user_that_nobody_knows_and_without_a_home(folder: Path, expected: str) -> None:
    line = namespaces("user", "map-user=54321", "map-group=54321")
    assert run(folder, *line, before="test $(id -u) = 54321", HOME=None, USER=None, LOGNAME=None) == expected


def test_workers_without_shared_memory(folder: Path) -> None:
    line = namespaces("user", "map-root-user", "mount")
    program = """
import sys
from milk_np.cli import tune
small = ["--dim", "4", "--batch-size", "128", "--max-epochs", "1", "--topk", "5"]
sys.exit(tune.main(["--data", "data.npz", "--out", "out", "--trials", "2", "--jobs", "2", "--quiet", *small]))
"""
    quiet = "ignore"  # Numba warns of it at every import
    shown = run(folder, *line, before="mount -t tmpfs -o ro none /dev/shm", program=program, PYTHONWARNINGS=quiet)
    assert "written to out/milk.toml" in shown


def test_a_killed_run_goes_on_in_a_container_with_the_same_process_ids(folder: Path, expected: str) -> None:
    line = namespaces("user", "map-root-user", "mount", "pid", "fork", "mount-proc")
    killed = PROGRAM.replace("import sys", "import os, sys\nfrom milk_np.files import writing", 1).replace(
        "line =", "writing.sync_folder = lambda path: os._exit(int(os.getpid() != 1))\nline =", 1
    )
    assert run(folder, *line, program=killed) == ""
    left = [path.name for path in (folder / "out" / "run").iterdir()]
    assert left != []
    assert run(folder, *line) == expected
    assert not [path for path in contents(folder) if path.endswith(".tmp")]


def test_files_that_may_not_grow_are_told(folder: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    line = [sys.executable, "-m", "milk_np.cli.train", "--data", "data.npz", "--out", "run", *MILK, "--quiet"]
    done = subprocess.run(line, cwd=folder, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        3,
        "milk-train: error: File too large; check the path and its permissions\n",
    )
    assert not list(folder.rglob("*.tmp"))


GROUP = """
mkdir groups
echo 67108864 >groups/memory.max
echo 1048576 >groups/memory.current
echo 50000 100000 >groups/cpu.max
mount --bind groups /sys/fs/cgroup
"""


def test_a_small_control_group_is_seen(folder: Path) -> None:
    """Its files are made up: they are read, and nothing enforces them."""
    line = namespaces("user", "map-root-user", "mount")
    if not Path("/sys/fs/cgroup").is_dir():
        pytest.skip("this system has no folder for control groups")
    program = f"""
import contextlib, io
from milk_np.cli import train
from milk_np.machine import memory, threads
cores, said = threads.allowed_cores(), io.StringIO()
with contextlib.redirect_stderr(said):
    code = train.main(["--data", "data.npz", "--out", "out/run", {", ".join(map(repr, MILK))}, "--quiet"])
print(cores, int(memory.available_bytes()), code, said.getvalue())
"""
    cores, available, code, said = run(folder, *line, before=GROUP, program=program).split(" ", 3)
    assert (cores, available, code) == ("1", str(63 << 20), "5")
    assert "63.0 MB is available" in said


def lists_of(trained: StoredModel) -> bytes:
    return trained.recommend(["u1", "u2"], 4, candidates="all").found.tobytes()


def lists_of_file(path: str) -> bytes:
    return lists_of(load(path))


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_processes_that_get_a_model_give_its_lists(tmp_path: Path, start: str) -> None:
    model(tmp_path)
    path = str(tmp_path / "run" / "model.npz")
    trained, calls = load(path), list[tuple[Callable[..., bytes], object]]()
    calls = [(lists_of, trained), (lists_of_file, path)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(start)) as pool:
        found = [pool.submit(function, given).result(120) for function, given in calls]
    assert found == [lists_of(trained)] * 2
