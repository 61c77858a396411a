"""The benchmarks: their arithmetic, the program that all others are compared with, and the comparisons."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import harness  # noqa: E402
import parity  # noqa: E402
import shapes  # noqa: E402
import systems_parity  # noqa: E402
from objective import OBJECTIVES, PAPER, REFERENCE, Objective  # noqa: E402
from peers import numpy_plain, systems_milk  # noqa: E402
from subjects import epoch, sampling, topk  # noqa: E402
from worker import Timing, Worker  # noqa: E402

from milk_np.data import make_synthetic  # noqa: E402
from milk_np.machine.environment import cpu_flags  # noqa: E402

MACHINE = {"cpu", "cores", "instructions", "caches", "clock_ghz", "memory_gib", "system", "python", "versions"}
SMALL = shapes.Shape("small", users=40, items=30, pairs=200, widths=(6, 5, 4), dim=3, batch=32, alpha=0.5)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> shapes.Problem:
    """Three modalities, small enough for finite differences."""
    folder = tmp_path_factory.mktemp("small")
    shapes.write(SMALL, folder)
    return shapes.Problem(folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the problem that smoke runs use."""
    folder = tmp_path_factory.mktemp("tiny")
    shapes.write(shapes.TINY, folder)
    return folder


@pytest.fixture(scope="module")
def truth(tiny: Path) -> Iterator[Worker]:
    with epoch.start(epoch.PLAIN, tiny, "reference") as worker:
        yield worker


# Harness


def test_rounds_alternate_and_warm_up_uncounted() -> None:
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) or Timing(len(order)) for name in "ABC"}
    seconds = harness.interleave(calls, rounds=2, warmup=1, attempts=1)
    assert "".join(order) == "ABCABCABC"
    assert seconds == {"A": [4, 7], "B": [5, 8], "C": [6, 9]}
    assert seconds.turns == [1, 2]


def test_disturbed_rounds_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "wait_for_quiet", lambda: None)
    others = iter([0.0, 0.5, 0.0, 0.4, 0.01])
    seconds = harness.interleave({"A": lambda: Timing(1.0, next(others))}, rounds=3, warmup=0)
    assert seconds.turns == [0, 2, 4]
    assert seconds.tried == 5
    assert seconds.others == 0.01


def test_the_least_disturbed_rounds_are_kept_when_none_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "wait_for_quiet", lambda: None)
    others = iter([0.9, 0.3, 0.5, 0.2])
    seconds = harness.interleave({"A": lambda: Timing(1.0, next(others))}, rounds=2, warmup=0, attempts=2)
    assert seconds.turns == [1, 3]
    assert "30%" in seconds.note()


def test_ratios_are_formed_round_by_round() -> None:
    seconds = {"A": [1.0, 2.0, 10.0], "B": [2.0, 4.0, 5.0]}
    spread = harness.ratios(seconds, "A", "B")
    assert spread == harness.Spread(0.5, 0.5, 1.25, 0.5, 2.0)
    assert harness.Spread.of([3.0]).text() == "3 [3, 3]"


def test_results_name_no_machine(tmp_path: Path) -> None:
    outcome = harness.Outcome("x", "Title", ["program", "s"], [{"program": "a", "s": 0.12345}], ["note"], {})
    record = json.loads(outcome.save(tmp_path).read_text())
    assert set(record["machine"]) - {"clock_left_out"} == MACHINE
    assert "| a | 0.123 |" in outcome.table()


def test_a_library_that_is_not_installed_is_reported() -> None:
    assert harness.version("no-such-library-anywhere") == "not installed"
    assert not harness.installed("numpy", "no-such-library-anywhere")


# Problems


def test_problem_is_what_training_promises(small: shapes.Problem) -> None:
    train = small.split == 0
    pairs = set(zip(small.user[train].tolist(), small.item[train].tolist(), strict=True))
    assert sorted(pairs) == sorted(zip(small.u.tolist(), small.i.tolist(), strict=True))
    assert not pairs & set(zip(small.u.tolist(), small.j.tolist(), strict=True))
    assert (small.item_split[small.i] == 0).all()
    np.testing.assert_allclose(small.theta.sum(axis=2), 1, rtol=1e-6)
    np.testing.assert_allclose([np.linalg.norm(x, axis=1) for x in small.x], 1, rtol=1e-6)
    assert sum(len(small.batch(step)[0]) for step in range(small.steps)) == small.u.size


def test_uniformity_sees_a_skew(small: shapes.Problem) -> None:
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(SMALL.users), 500)
    train = small.split == 0
    owned = set(zip(small.user[train].tolist(), small.item[train].tolist(), strict=True))
    free = {u: [i for i in range(SMALL.items) if (u, i) not in owned] for u in range(SMALL.users)}
    fair = np.concatenate([rng.choice(free[u], 500) for u in range(SMALL.users)])
    skewed = np.where(rng.random(user.size) < 0.1, [free[u][0] for u in user], fair)
    assert abs(sampling.uniformity(small, user, fair)) < 4
    assert sampling.uniformity(small, user, skewed) > 20


# The float64 program


@pytest.mark.parametrize("how", [REFERENCE, PAPER, Objective(align=3.0, reg=0.7, invariance=5.0)])
@pytest.mark.parametrize("masked", [False, True])
def test_plain_gradients_are_the_derivatives(small: shapes.Problem, how: Objective, masked: bool) -> None:
    rng = np.random.default_rng(1)
    owned = rng.random((SMALL.items, 3)) < 0.6 if masked else None
    params = {key: value.astype(np.float64) for key, value in small.parameters.items()}
    batch = small.batch(0)
    _, grads = numpy_plain.step_loss(params, small.x, *batch, how, owned)
    for key in params:
        direction = rng.standard_normal(params[key].shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = params | {key: params[key] + step * direction}
            ends.append(numpy_plain.step_loss(moved, small.x, *batch, how, owned)[0]["loss"])
        slope, expected = (ends[0] - ends[1]) / 2e-5, float((grads[key] * direction).sum())
        assert slope == pytest.approx(expected, rel=1e-6, abs=1e-9), key


def test_plain_parts_add_up(small: shapes.Problem) -> None:
    parts, _ = numpy_plain.step_loss(small.parameters, small.x, *small.batch(1), PAPER)
    total = (
        parts["risk"] + PAPER.invariance * parts["variance"] + PAPER.align * parts["align"] + PAPER.reg * parts["reg"]
    )
    assert parts["loss"] == pytest.approx(total)


# The programs compared


@pytest.mark.parametrize("name", epoch.TRAINERS)
@pytest.mark.parametrize("how", OBJECTIVES)
def test_trainers_compute_the_same(tiny: Path, tmp_path: Path, name: str, how: str) -> None:
    entry = epoch.TRAINERS[name]
    if not harness.installed(*entry[2]):
        pytest.skip(f"{', '.join(entry[2])} not installed")
    if "compiled" in name and how == "paper":
        pytest.skip("compiling takes long, and the reference preset shows it")
    with epoch.start(epoch.PLAIN, tiny, how) as plain, epoch.start(entry, tiny, how) as worker:
        epoch.check({name: worker}, plain, tmp_path)
        parameters = tmp_path / "plain.npz", tmp_path / "mine.npz"
        for program, path in zip((plain, worker), parameters, strict=True):
            program.call("save", method="state", path=str(path))
    with np.load(parameters[0]) as expected, np.load(parameters[1]) as found:
        for key in ("P", "W0", "W1"):  # BPR gives biases no gradient but rounding, which Adam turns into steps
            np.testing.assert_allclose(found[key], expected[key], atol=1e-5)


def test_a_program_that_computes_something_else_is_refused(tiny: Path, truth: Worker, tmp_path: Path) -> None:
    with (
        epoch.start(epoch.PLAIN, tiny, "paper") as other,
        pytest.raises(RuntimeError, match="other computes something else"),
    ):
        epoch.check({"other": other}, truth, tmp_path)


def test_peak_memory_is_the_programs_own() -> None:
    """A process that holds 300 MB starts one that holds little."""
    told = "import worker; print(worker.peak_memory())"
    starts = f"x = bytearray(300_000_000); import subprocess, sys; subprocess.run([sys.executable, '-c', {told!r}])"
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    done = subprocess.run([sys.executable, "-c", starts], env=environment, capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 200_000_000


def test_an_error_in_a_worker_is_raised_here(truth: Worker) -> None:
    with pytest.raises(RuntimeError, match=r"numpy_plain.no_such_method: AttributeError"):
        truth.call("no_such_method")


@pytest.mark.parametrize("name", topk.searches(cpu_flags()))
def test_searches_find_the_same(tmp_path: Path, name: str) -> None:
    module, args, libraries, env = topk.searches(cpu_flags())[name]
    if not harness.installed(*libraries):
        pytest.skip(f"{', '.join(libraries)} not installed")
    folder = topk.write(tmp_path / "vectors", 50, 300)
    scores = np.load(folder / "queries.npy") @ np.load(folder / "items.npy").T
    with Worker(module, {"folder": str(folder), "k": topk.K, **args}, env) as worker:
        found = topk.found(worker, tmp_path)
    np.testing.assert_allclose(found["score"], -np.sort(-scores, axis=1)[:, : topk.K], atol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(scores, found["index"].astype(int), 1), found["score"], atol=1e-4)


# Parity and the command


def test_parity_allows_what_it_says() -> None:
    reference = json.loads((BENCHMARKS / "results" / "parity_reference.json").read_text())
    row, tolerance = reference["rows"][0], reference["tolerance"]
    exact = {
        name: row[name] if name in parity.LOSSES else row[name]["mean"] for name in row if name not in ("file", "epoch")
    }
    assert parity.compare(row, exact, tolerance)[1] == 0
    off = exact | {"total": 1.011 * exact["total"], "valid recall@20": exact["valid recall@20"] + 0.0047}
    line, wrong = parity.compare(row, off, tolerance)
    assert wrong == 2
    assert "OFF" in line["total"]
    assert "ok" in line["test recall@20"]


def test_parity_reference_is_complete() -> None:
    reference = json.loads((BENCHMARKS / "results" / "parity_reference.json").read_text())
    assert len(reference["rows"]) == 12
    assert {row["file"] for row in reference["rows"]} == set(reference["align_weight"])


def test_systems_parity_compares_means_with_the_seeds_deviation() -> None:
    found = {"untrained": [0.03, 0.03, 0.03], "milk_np": [0.2, 0.21, 0.22], "torch": [0.21, 0.22, 0.23]}
    line = systems_parity.row("gar", "built-in", 3, found)
    assert (line["milk_np"], line["difference"], line["within"]) == ("0.2100 ± 0.0100", "-0.0100", "ok")
    assert line["greatest of a seed"] == "0.0100"
    apart = {**found, "torch": [0.222, 0.232, 0.242]}
    assert systems_parity.row("gar", "built-in", 3, apart)["within"] == "OFF"


@pytest.mark.parametrize("rate", systems_parity.RATES)
def test_systems_parity_lowers_rates_as_the_systems_do(rate: str) -> None:
    ds = make_synthetic(60, 100, 900, {"image": 6, "text": 5}, new_items=0.4, seed=1)
    _, trainer = systems_parity.start(rate, ds, 0)
    (optimiser,) = trainer.several._optimisers.values()
    steps = trainer.steps
    for taken in (0, 1, 10 * steps - 1, 10 * steps, 25 * steps):
        expected = optimiser._lr(0) * systems_parity.RATES[rate](taken, steps)
        assert optimiser._lr(taken) == pytest.approx(expected)


@pytest.mark.parametrize("system", systems_parity.EPOCHS)
def test_systems_parity_trains_and_says_what_a_batch_is(system: str) -> None:
    ds = make_synthetic(60, 100, 900, {"image": 6, "text": 5}, new_items=0.4, seed=1)
    model, trainer = systems_parity.start(system, ds, 0)
    before = model.arrays()
    systems_parity.learn(trainer, 1)
    assert any((model.arrays()[name] != x).any() for name, x in before.items())
    assert all(len(np.asarray(x)) for x in systems_milk.BATCH[system](trainer, 1, 0).values())
    assert 0 <= systems_parity.score(model, ds) <= 1


def test_systems_parity_refuses_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MILK_DATA", raising=False)
    assert systems_parity.run(["gar"], "lfm2k", 1, range(2), tmp_path / "out.json") == 2
    assert "MILK_DATA" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        systems_parity.main(["milk"])


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python benchmarks/run.py`, which imports what stands beside it."""
    line = [sys.executable, str(BENCHMARKS / "run.py"), *arguments]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    return subprocess.run(line, env=env, capture_output=True, text=True, check=False)


def test_command_refuses_unknown_subjects() -> None:
    done = command("--only", "speed")
    assert done.returncode == 2
    assert "invalid choice: 'speed'" in done.stderr


def test_command_runs_what_is_installed() -> None:
    done = command("--quick", "--only", "sampling", "gather", "step")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "### Negative sampling" in done.stdout
    assert "| milk_np |" in done.stdout
    assert "- sample_milk ran {" in done.stdout
    assert "| products alone | extract_all |" in done.stdout
    assert "| milk_np | extract_all |" in done.stdout
    if find_spec("torch") is None:
        assert "| torch.index_select | not installed |" in done.stdout
