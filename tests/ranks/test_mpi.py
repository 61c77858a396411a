"""Training that mpiexec starts: one process's bits for any number of ranks, and what happens when one is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

MPIEXEC = Path(sys.executable).with_name("mpiexec")

pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(
        not MPIEXEC.exists() and "MILK_REQUIRE_MPI" not in os.environ, reason="the extra mpi isn't installed"
    ),
]
os.environ.setdefault("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1")  # ranks that wait leave the cores to other tests
SMALL = ("--dim", "8", "--batch-size", "512", "--eval-every", "2", "--threads", "1")


def command(ranks: int, program: str, *options: str | Path) -> list[str]:
    """The line that runs a command on some ranks; without mpiexec for 0."""
    run = [sys.executable, "-P", "-m", f"milk_np.cli.{program}", *map(str, options)]
    return run if ranks == 0 else [str(MPIEXEC), "-n", str(ranks), *run]


def milk(ranks: int, program: str, *options: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """What a command said; its exit code has to be `code`."""
    done = subprocess.run(command(ranks, program, *options), capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files if name != "meta"}


def assert_same_arrays(one: Path, other: Path) -> None:
    mine, theirs = arrays(one), arrays(other)
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, whole and in shards."""
    folder = tmp_path_factory.mktemp("data")
    sizes = ("--synthetic", "--users", "300", "--items", "200", "--pairs", "6000", "--widths", "image=40,text=24")
    milk(0, "prepare", *sizes, "--out", folder / "whole.npz", "--quiet")
    milk(0, "prepare", folder / "whole.npz", "--shards", "5", "--out", folder / "shards", "--quiet")
    return folder


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    milk(0, "train", "--data", data / "whole.npz", "--protocol", "FTMT", "--max-epochs", "20", *SMALL, "--out", out)
    return out


def run_of(data: Path, *more: str | Path) -> tuple[str | Path, ...]:
    return ("--data", data, "--protocol", "FTMT", *SMALL, *more)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_any_number_of_ranks_writes_the_run_of_one_process(data: Path, alone: Path, tmp_path: Path, ranks: int) -> None:
    done = milk(ranks, "train", *run_of(data / "whole.npz", "--max-epochs", "20", "--out", tmp_path / "run"))
    assert (alone / "model.npz").read_bytes() == (tmp_path / "run" / "model.npz").read_bytes()
    assert_same_arrays(alone / "last.npz", tmp_path / "run" / "last.npz")
    mine, theirs = (json.loads((run / "summary.json").read_text()) for run in (tmp_path / "run", alone))
    assert {k: v for k, v in mine.items() if k != "seconds"} == {k: v for k, v in theirs.items() if k != "seconds"}
    assert_same_arrays(alone / "per_user.npz", tmp_path / "run" / "per_user.npz")
    assert done.stdout.count("saved in") == 1  # rank 0 alone speaks
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("data_kind", ["whole.npz", "shards"])
def test_the_kernel_profile_is_fitted_together(data: Path, tmp_path: Path, data_kind: str) -> None:
    line = ("--data", data / data_kind, "--protocol", "FTMT", "--model", "kernel-profile", "--threads", "1")
    for ranks in (0, 3):
        done = milk(ranks, "train", *line, "--out", tmp_path / str(ranks))
        assert done.stdout.count("saved in") == 1
    assert (tmp_path / "0" / "model.npz").read_bytes() == (tmp_path / "3" / "model.npz").read_bytes()
    mine, theirs = (json.loads((tmp_path / run / "summary.json").read_text()) for run in ("0", "3"))
    assert {k: v for k, v in mine.items() if k != "seconds"} == {k: v for k, v in theirs.items() if k != "seconds"}


def test_the_kernel_profile_has_the_same_bits_by_any_spans(data: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-P", str(Path(__file__).with_name("fit_by_spans.py")), str(data / "whole.npz")]
    for ranks in (1, 3):
        run = [str(MPIEXEC), "-n", str(ranks), *program, str(tmp_path / f"{ranks}.npz")]
        done = subprocess.run(run, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "3.npz").read_bytes()


def test_resumed_on_another_number_of_ranks(data: Path, alone: Path, tmp_path: Path) -> None:
    line = run_of(data / "whole.npz", "--out", tmp_path / "run")
    for epochs, ranks in ((8, 3), (14, 0), (20, 2)):
        resume = () if epochs == 8 else ("--resume",)
        milk(ranks, "train", *line, "--max-epochs", str(epochs), *resume)
    assert_same_arrays(alone / "model.npz", tmp_path / "run" / "model.npz")


def test_an_interrupted_run_is_saved_and_resumed(data: Path, tmp_path: Path) -> None:
    line = run_of(data / "whole.npz", "--max-epochs", "400", "--patience", "0", "--out", tmp_path / "run")
    running = subprocess.Popen(command(2, "train", *line), stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "run" / "last.npz", running)
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=120)[1]
    assert said.count("interrupted and saved; continue with") == 1
    milk(0, "train", *line, "--resume", "--max-epochs", "2")


def test_an_error_is_said_once(data: Path, tmp_path: Path) -> None:
    done = milk(3, "train", "--data", tmp_path / "absent", code=3)
    assert done.stderr.count("no such file or folder") == 1
    done = milk(2, "train", *run_of(data / "whole.npz", "--model", "heater"), code=2)
    assert done.stderr.count("can't be trained by several ranks") == 1


def test_shards_are_trained_evaluated_and_served(data: Path, alone: Path, tmp_path: Path) -> None:
    """Any number of ranks writes the same parts, which are the whole model; no file has all users."""
    runs = [tmp_path / str(ranks) for ranks in (1, 2, 5)]
    for ranks, run in zip((1, 2, 5), runs, strict=True):
        milk(ranks, "train", *run_of(data / "shards", "--max-epochs", "20", "--out", run))
        assert not (run / "model.npz").exists()
        tables = [arrays(file)["P"] for file in sorted((run / "model").glob("users-*.npz"))]
        np.testing.assert_array_equal(np.concatenate(tables), arrays(alone / "model.npz")["P"])
        assert [len(P) for P in tables] == [60] * 5
        for part in ("valid", "test"):
            mine, theirs = (json.loads((r / "summary.json").read_text())[part] for r in (run, alone))
            assert mine == theirs
    said = milk(2, "evaluate", "--model", runs[0], "--data", data / "shards").stdout
    assert said == milk(0, "evaluate", "--model", alone, "--data", data / "whole.npz").stdout
    lists = milk(0, "recommend", "--model", runs[1], "--users", "all", "--topk", "5").stdout
    assert lists == milk(0, "recommend", "--model", alone, "--users", "all", "--topk", "5").stdout
    few = milk(0, "recommend", "--model", runs[1], "--users", "7,250,nobody", "--topk", "5", code=3)
    assert {line.split(",")[0] for line in few.stdout.splitlines()[1:]} == {"7", "250"}
    assert "nobody" in few.stderr


def wait_for(path: Path, running: subprocess.Popen[str]) -> None:
    """Until there is a file, or the process that would write it has ended."""
    while not path.exists() and running.poll() is None:
        time.sleep(0.02)


def ranks_of(parent: int) -> list[int]:
    """Process ids of the ranks below mpiexec, in order of their start."""
    found, below = [], [parent]
    while below:
        pid = below.pop()
        children = Path(f"/proc/{pid}/task/{pid}/children")
        below += [int(child) for child in children.read_text().split()] if children.exists() else []
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"milk_np.cli.train" in line and b"mpiexec" not in line.split(b"\0")[0]:
            found.append(pid)
    return sorted(found)


@pytest.mark.parametrize("seed", range(int(os.environ.get("MILK_KILLS", "3"))))
@pytest.mark.parametrize("kind", ["whole.npz", "shards"])
def test_a_killed_rank_ends_the_job_and_loses_nothing(
    data: Path, alone: Path, tmp_path: Path, kind: str, seed: int
) -> None:
    """The others end within ten seconds, one says which rank was lost, and the resumed run has the same bits."""
    rng = random.Random(seed)
    line = run_of(data / kind, "--max-epochs", "20", "--out", tmp_path / "run")
    running = subprocess.Popen(command(3, "train", *line), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "run" / "config.toml", running)
    time.sleep(rng.random() * 1.5)
    pids, victim = ranks_of(running.pid), 0
    if pids:  # it may have finished by now
        victim = rng.choice(pids)
        os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    said = running.communicate(timeout=60)[1]
    if running.returncode:
        assert time.monotonic() - killed < 10
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        whole = (tmp_path / "run" / "summary.json").exists()  # killed on its way out: there is nothing to lose
        assert said.count("was lost") == 1 or whole
        # MPI may notice it and abort another rank before the connections of the killed one are closed
        assert f"(process {victim} on " in said or "Abort(" in said or whole
    milk(2, "train", *line, "--resume")
    tables = sorted((tmp_path / "run" / "model").glob("users-*.npz")) or [tmp_path / "run" / "model.npz"]
    joined = np.concatenate([arrays(file)["P"] for file in tables])
    np.testing.assert_array_equal(joined, arrays(alone / "model.npz")["P"])
