"""The training loop: stopping, the best epoch, checkpoints and resuming to the bit, interruption, divergence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from training_cases import OPTIONS, new_run, small_set

from milk_np.errors import DataError, DivergedError
from milk_np.evaluation.evaluate import evaluate
from milk_np.files import read_npz, write_npz_atomic
from milk_np.models.extractors.trainer import TripletTrainer
from milk_np.models.milk.model import Milk
from milk_np.training.loop import History
from milk_np.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def ds():
    return small_set()


@pytest.fixture(scope="module")
def whole(ds, tmp_path_factory):
    """A run that nothing stopped: the model's bytes and the losses of its epochs."""
    run = new_run(tmp_path_factory.mktemp("whole") / "run", ds)
    model = Milk(**OPTIONS).fit(ds, run=run)
    return run.model.read_bytes(), run.last.read_bytes(), model.history.records


def test_learns(ds):
    model = Milk(**OPTIONS).fit(ds)
    losses = [record["losses"]["total"] for record in model.history.records]
    assert losses == sorted(losses, reverse=True)
    untrained = Milk(**{**OPTIONS, "lr": 1e-12}).fit(ds)
    assert evaluate(model, ds).metrics["ndcg@10"] > evaluate(untrained, ds).metrics["ndcg@10"]


def test_stops_when_nothing_gets_better_and_keeps_the_best_epoch(ds, monkeypatch):
    values = iter([0.1, 0.3, 0.2, 0.3, 0.1, 0.9])
    snapshots = {}

    def fake_evaluate(model, ds, split, **options):
        result = evaluate(model, ds, split, **options)
        result.metrics["ndcg@10"] = next(values)
        return result

    monkeypatch.setattr("milk_np.training.loop.evaluate", fake_evaluate)
    model = Milk(**{**OPTIONS, "epochs": 50, "eval_every": 1, "patience": 3})

    def watch(event):
        if event.kind == "evaluation":
            snapshots[event.epoch] = model.user_factors()

    model.fit(ds, callback=watch)
    assert model.history.epochs == 5  # the third evaluation in a row that isn't better than .3; an equal one isn't
    assert model.history.best_epoch == 2
    np.testing.assert_array_equal(model.user_factors(), snapshots[2])


def test_patience_zero_never_stops():
    history = History(evaluations_since_best=1000)
    assert not history.stopped(0)
    assert history.stopped(1000)


def test_evaluates_after_the_last_epoch_too(ds):
    model = Milk(**{**OPTIONS, "epochs": 3}).fit(ds)
    assert [r["epoch"] for r in model.history.records if "valid" in r] == [2, 3]


def test_resumes_a_finished_run_with_nothing_left_to_do(ds, tmp_path):
    run = new_run(tmp_path / "run", ds)
    Milk(**OPTIONS).fit(ds, run=run)
    before = run.model.read_bytes()
    again = Milk(**OPTIONS).fit(ds, run=run, resume=True)
    assert again.history.epochs == 6
    assert run.model.read_bytes() == before


@pytest.mark.parametrize("stop_at", [(1, 0), (1, 3), (2, 7), (3, 1), (5, 2)])
def test_an_interrupted_run_resumes_to_the_bit(ds, tmp_path, monkeypatch, whole, stop_at):
    """SIGINT at any step: the state before the next step is saved; resuming ends as if nothing had happened."""
    run = new_run(tmp_path / "run", ds)
    original = TripletTrainer.step

    def step_and_interrupt(self, epoch, step):
        original(self, epoch, step)
        if (epoch, step) == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TripletTrainer, "step", step_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        Milk(**OPTIONS).fit(ds, run=run)
    monkeypatch.undo()
    resumed = Milk(**OPTIONS).fit(ds, run=run, resume=True)
    model, _, records = whole
    assert run.model.read_bytes() == model
    assert resumed.history.records == records
    assert [r["epoch"] for r in run.metrics()] == list(range(1, 7))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("evaluation", [1, 3])
def test_a_signal_during_an_evaluation_ends_the_run_and_it_is_done_again(
    ds, tmp_path, monkeypatch, whole, number, evaluation
):
    """The first, or that of the last epoch, after which no step would look at the signal."""
    run, begun = new_run(tmp_path / "run", ds), []

    def interrupted(*args, **options):
        begun.append(number)
        if len(begun) == evaluation:
            os.kill(os.getpid(), number)
        return evaluate(*args, **options)

    monkeypatch.setattr("milk_np.training.loop.evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Milk(**OPTIONS).fit(ds, run=run)
    assert len(begun) == evaluation
    assert [r["epoch"] for r in run.metrics()] == list(range(1, 2 * evaluation))
    monkeypatch.undo()
    resumed = Milk(**OPTIONS).fit(ds, run=run, resume=True)
    assert (run.model.read_bytes(), run.last.exists()) == (whole[0], True)
    assert resumed.history.records == whole[2]
    assert [r["epoch"] for r in run.metrics()] == list(range(1, 7))


def test_a_signal_while_the_last_epoch_is_saved_is_not_lost(ds, tmp_path, whole):
    run = new_run(tmp_path / "run", ds)

    def stop(event):
        if event.kind == "evaluation" and event.epoch == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        Milk(**OPTIONS).fit(ds, run=run, callback=stop)
    assert run.model.read_bytes() == whole[0]


def test_an_ignored_signal_stays_ignored(ds):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        fitted = Milk(**OPTIONS).fit(ds, callback=lambda event: os.kill(os.getpid(), signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert fitted.history.epochs == 6


def test_resuming_without_a_checkpoint_starts_anew(ds, tmp_path, whole):
    run = new_run(tmp_path / "run", ds)
    Milk(**OPTIONS).fit(ds, run=run, resume=True)
    assert run.model.read_bytes() == whole[0]


def test_killed_before_the_first_checkpoint_it_begins_again(ds, tmp_path, whole):
    run = new_run(tmp_path / "run", ds)
    run.append_metrics({"epoch": 1, "losses": {}})
    with open(run.file("metrics.jsonl"), "a") as file:
        file.write('{"epoch": 2, "lo')
    model = Milk(**OPTIONS).fit(ds, run=run, resume=True)
    assert run.metrics() == model.history.records == whole[2]
    assert run.model.read_bytes() == whole[0]


def test_a_damaged_checkpoint_is_named(ds, tmp_path):
    run = new_run(tmp_path / "run", ds)
    Milk(**OPTIONS).fit(ds, run=run)
    arrays, meta = read_npz(run.last, "training state")
    name = next(name for name, x in arrays.items() if x.ndim == 2)
    for change, found in (
        ({name: arrays[name][:-1]}, meta),
        ({name: arrays[name].astype(str)}, meta),
        ({}, meta | {"history": 3}),
    ):
        write_npz_atomic(run.last, arrays | change, found)
        with pytest.raises(DataError, match=r"last\.npz: "):
            Milk(**OPTIONS).fit(ds, run=run, resume=True)


PROGRAM = """
    import sys
    sys.path.insert(0, {tests!r})
    from training_cases import OPTIONS, new_run, small_set
    from milk_np.models.milk.model import Milk
    from milk_np.training.run_folder import RunFolder
    import numba
    numba.set_num_threads({threads})
    ds, folder, resume = small_set(), sys.argv[1], sys.argv[2] == "resume"
    run = RunFolder.reopen(folder) if resume else new_run(folder, ds)
    Milk(**OPTIONS).fit(ds, run=run, resume=resume, callback=lambda e: print(e.kind, e.epoch, flush=True))
"""


def start(folder, mode, threads=1):
    program = textwrap.dedent(PROGRAM).format(tests=os.path.dirname(__file__), threads=threads)
    return subprocess.Popen([sys.executable, "-c", program, str(folder), mode], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("event", ["evaluation 2", "epoch 3", "epoch 5"])
def test_a_killed_run_resumes_to_the_bit(tmp_path, whole, event):
    """kill -9 after some event, so in the middle of the next epoch or its evaluation."""
    process = start(tmp_path / "run", "fresh")
    for line in process.stdout:
        if line.strip() == event:
            time.sleep(0.002)
            break
    process.kill()
    process.communicate()
    again = start(tmp_path / "run", "resume")
    again.communicate()
    assert again.returncode == 0
    assert (tmp_path / "run" / "model.npz").read_bytes() == whole[0]


def test_threads_do_not_change_one_bit(tmp_path, whole):
    process = start(tmp_path / "run", "fresh", threads=min(2, os.cpu_count()))
    process.communicate()
    assert process.returncode == 0
    assert (tmp_path / "run" / "model.npz").read_bytes() == whole[0]


def test_a_failed_save_leaves_the_checkpoints_before_it_whole(ds, tmp_path, monkeypatch, whole):
    run = new_run(tmp_path / "run", ds)
    saves = []

    def full_disk(file, *arguments):
        saves.append(file)
        if len(saves) > 3:
            file.write(b"half a file")
            raise OSError(28, "No space left on device")
        return zip_writer(file, *arguments)

    zip_writer = __import__("milk_np.files", fromlist=["_write_zip"])._write_zip
    monkeypatch.setattr("milk_np.files._write_zip", full_disk)
    with pytest.raises(OSError, match="No space left"):
        Milk(**OPTIONS).fit(ds, run=run)
    monkeypatch.undo()
    Milk.load(run.model)
    Milk(**OPTIONS).fit(ds, run=RunFolder.reopen(run.path), resume=True)
    assert run.model.read_bytes() == whole[0]


def test_divergence_names_epoch_rate_and_parameter(ds, tmp_path):
    run = new_run(tmp_path / "run", ds)
    with pytest.raises(DivergedError, match=r"epoch \d+: the loss is no longer finite .*--lr 1e\+38.*not finite: P"):
        Milk(**{**OPTIONS, "lr": 1e38}).fit(ds, run=run)


def test_reads_the_loss_between_epochs_when_asked(ds):
    seen = []
    Milk(**{**OPTIONS, "epochs": 1, "log_every": 3}).fit(ds, callback=lambda e: seen.append((e.kind, e.step)))
    steps = [step for kind, step in seen if kind == "step"]
    assert steps == list(range(3, steps[-1] + 1, 3))


def test_training_in_a_thread_leaves_signals_alone(ds):
    import threading

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: Milk(**{**OPTIONS, "epochs": 1}).fit(ds))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before


def test_equals_a_plain_run_of_the_references(ds):
    """The whole engine against the NumPy references: parameters agree after an epoch."""
    from milk_np.backends.numba import NumpyBackend

    fast, plain = Milk(**OPTIONS), Milk(**OPTIONS)
    plain._lazy_backend = NumpyBackend("reference")
    trainers = [model.trainer(ds) for model in (fast, plain)]
    for trainer in trainers:
        for step in range(trainer.steps):
            trainer.step(1, step)
        trainer.flush()
    for (name, a), (_, b) in zip(fast.params.arrays(), plain.params.arrays(), strict=True):
        if not name.startswith("b"):  # the risk has no gradient by a bias but rounding, which Adam makes steps of
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-4, err_msg=name)
    fast_losses, plain_losses = (trainer.losses(trainer.steps) for trainer in trainers)
    assert fast_losses == pytest.approx(plain_losses, rel=1e-4)
