"""Training on the device against training on the CPU: the same run to rounding, and checkpoints that either reads."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_cases import EMULATOR, CupyBackend, counted, kernel_module
from training_cases import OPTIONS, new_run, small_set

from milk_np.backends.base import Backend
from milk_np.cli import evaluate as evaluate_command
from milk_np.cli import train as train_command
from milk_np.errors import OutOfMemoryError
from milk_np.evaluation.evaluate import evaluate
from milk_np.kernels.reference import top_k
from milk_np.models.milk.model import Milk
from milk_np.models.milk.users import USERS
from milk_np.models.registry import make_model, make_settings
from milk_np.serving.recommend import recommend, similar_items, users_for_items
from milk_np.training.run_folder import RunFolder

pytestmark = pytest.mark.gpu

METRIC, PARAMETER = 1e-3, 1e-4


@pytest.fixture(scope="module")
def ds():
    return small_set()


def trained_steps(ds, device, steps, **options):
    model = Milk(**{**OPTIONS, **options}, device=device)
    trainer = model.trainer(ds)
    for step in range(steps):
        trainer.step(1 + step // trainer.steps, step % trainer.steps)
    trainer.flush()
    return model, trainer


def assert_same_parameters(one, other, atol=PARAMETER):
    """Biases apart: the risk has no gradient by them but rounding, of which Adam makes whole steps."""
    host, device = one.arrays(), other.arrays()
    for name in host:
        if not name.startswith("b"):
            np.testing.assert_allclose(device[name], host[name], rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"environments": "independent", "env_draws": 2},
        {"without": ("cmam", "ceim")},
        {"reg_scope": "all", "reg": 1e-3},
        {"preset": "reference", "negative_pool": 40},
        {"impute": "nearest", "dim": 33},
    ],
)
def test_parameters_after_twenty_steps_are_those_of_the_cpu(ds, options):
    (cpu, host), (gpu, device) = (trained_steps(ds, device, 20, **options) for device in ("cpu", "gpu"))
    assert_same_parameters(cpu, gpu)
    steps = 20 % host.steps
    assert device.losses(steps) == pytest.approx(host.losses(steps), rel=1e-4)


@pytest.mark.parametrize("model", ["duif", "duif-raw"])
def test_other_trained_models_run_on_the_device_too(ds, model):
    losses = []
    for device in ("cpu", "gpu"):
        trained = make_model(make_settings({**OPTIONS, "epochs": 2, "model": model, "device": device})).fit(ds)
        losses.append([record["losses"]["total"] for record in trained.history.records])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("users", USERS)
def test_a_whole_run_ends_with_the_metrics_of_the_cpu(ds, users):
    cpu, gpu = (Milk(**OPTIONS, device=device, users=users).fit(ds) for device in ("cpu", "gpu"))
    assert gpu.history.best_epoch == cpu.history.best_epoch
    for split in (1, 2):
        expected, found = (evaluate(model, ds, split, topk=(10, 20)).metrics for model in (cpu, gpu))
        assert found == pytest.approx(expected, abs=METRIC)


def test_the_same_run_twice_gives_the_same_bits(ds):
    one, two = (trained_steps(ds, "gpu", 12)[0].arrays() for _ in range(2))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_the_device_ranks_with_its_own_kernel(ds, monkeypatch):
    model, _ = trained_steps(ds, "gpu", 5)
    monkeypatch.setattr("milk_np.serving.ranking.cpu_top_k", lambda: pytest.fail("the CPU's kernel was asked for"))
    found = evaluate(model, ds, 1, topk=(10,))
    plain = evaluate((model.user_factors(), model.item_factors()), ds, 1, topk=(10,), top_k=top_k)
    assert found.metrics == pytest.approx(plain.metrics, abs=METRIC)
    for ranked in (
        recommend(model, ds, k=5),
        users_for_items(model, ds, np.arange(3), 5),
        similar_items(model, ds, np.arange(3), 5),
    ):
        assert (ranked.found >= 0).all()


@pytest.mark.parametrize("users", USERS)
@pytest.mark.parametrize(("first", "then"), [("gpu", "cpu"), ("cpu", "gpu"), ("gpu", "gpu")])
def test_a_run_goes_on_where_another_device_left_it(ds, tmp_path, first, then, users):
    run, options = new_run(tmp_path / "run", ds, users=users), {**OPTIONS, "users": users}
    Milk(**{**options, "epochs": 2}, device=first).fit(ds, run=run)
    resumed = Milk(**options, device=then).fit(ds, run=run, resume=True)
    whole = Milk(**options, device=then).fit(ds)
    assert resumed.history.epochs == whole.history.epochs
    assert_same_parameters(whole, resumed, 0 if first == then else PARAMETER)


@pytest.mark.parametrize(("first", "then"), [("gpu", "cpu"), ("cpu", "gpu")])
def test_a_saved_model_loads_on_the_other_device(ds, tmp_path, first, then):
    model, _ = trained_steps(ds, first, 5)
    model.save(tmp_path / "model.npz")
    again = Milk.load(tmp_path / "model.npz", device=then)
    np.testing.assert_array_equal(again.user_factors(), model.user_factors())
    np.testing.assert_array_equal(again.user_factors(np.array([3, 1])), model.user_factors()[[3, 1]])
    new = {"image": ds.features["image"][:4]}
    np.testing.assert_allclose(again.encode_items(new), model.encode_items(new), atol=1e-6)
    again.save(tmp_path / "copy.npz")
    with np.load(tmp_path / "model.npz") as saved, np.load(tmp_path / "copy.npz") as copied:
        for name in saved.files:
            if name != "meta":  # it names the device
                np.testing.assert_array_equal(copied[name], saved[name], err_msg=name)


def test_features_that_stay_on_the_host_train_alike(ds, monkeypatch):
    """The pool's limit leaves no room for them; they are streamed in parts, gathered, and multiplied by cuBLAS.

    Of features on the device, the same program makes the same bits, and the one that reads them in place the same run.
    """
    in_place, _ = trained_steps(ds, "gpu", 6)
    monkeypatch.setattr(kernel_module("extract"), "PRODUCTS", "cublas")
    resident, _ = trained_steps(ds, "gpu", 6)
    monkeypatch.setattr(kernel_module("streaming"), "STAGED_BYTES", 1000)
    monkeypatch.setattr("milk_np.backends.cupy.free_bytes", lambda: 2**30)
    monkeypatch.setattr("milk_np.models.extractors.model.device_bytes", lambda *_: {"all": 2**30})
    streamed, _ = trained_steps(ds, "gpu", 6)
    hosted = kernel_module("streaming").HostRows
    assert all(isinstance(table.raw, hosted) for table in streamed._tables)
    assert_same_parameters(resident, streamed, 0)
    assert_same_parameters(in_place, streamed)
    np.testing.assert_array_equal(streamed.item_factors(), resident.item_factors())


@pytest.fixture
def pool_limit():
    import cupy

    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    yield pool.set_limit
    pool.set_limit(size=0)


def test_too_little_memory_is_told_before_training(ds, pool_limit):
    pool_limit(size=64 * 2**20)
    with pytest.raises(OutOfMemoryError, match=r"training needs about .* MB on the GPU .*CuPy's limit 64.0 MB"):
        Milk(**OPTIONS, device="gpu").fit(ds)


def test_memory_that_runs_out_is_told_with_the_numbers(pool_limit):
    from milk_np.backends.select import get_backend

    pool_limit(size=2**20)
    numbers = r"another 1.0 GB: .* in use by this process, .* available, CuPy's limit 1.0 MB"
    with pytest.raises(OutOfMemoryError, match=numbers):
        get_backend("gpu").empty((16384, 16384), np.float32)  # more than any block that the pool may keep


def test_the_command_says_so_with_its_exit_code(pool_limit, tmp_path, capsys):
    pool_limit(size=64 * 2**20)
    assert train_command.main(["--device", "gpu", "--out", str(tmp_path / "run"), "--epochs", "1", "--quiet"]) == 5
    assert "on the GPU" in capsys.readouterr().err


@pytest.mark.parametrize("users", USERS)
def test_commands_train_and_evaluate_on_the_device(ds, tmp_path, capsys, monkeypatch, users):
    asked = []
    monkeypatch.setattr(CupyBackend, "top_k", lambda self, *rest: asked.append(rest) or Backend.top_k(self, *rest))
    ds.save(tmp_path / "data.npz")
    common = ["--device", "gpu", "--topk", "10"]
    line = ["--data", str(tmp_path / "data.npz"), "--out", str(tmp_path / "run"), "--epochs", "2", "--dim", "8"]
    line += ["--users", users]
    assert train_command.main([*line, *common, "--batch-size", "256", "--eval-every", "1"]) == 0
    model = ["--model", str(tmp_path / "run"), "--data", str(tmp_path / "data.npz")]
    trained = len(asked)
    assert trained > 0
    assert evaluate_command.main([*model, *common, "--json", str(tmp_path / "m.json")]) == 0
    assert len(asked) > trained
    assert RunFolder.reopen(tmp_path / "run").summary()["epochs"] == 2
    assert "recall" in capsys.readouterr().out


@counted
def test_features_are_sent_once(ds):
    EMULATOR.stats.reset()
    trained_steps(ds, "gpu", 1)
    features = sum(rows.nbytes for rows in ds.features.values())
    assert EMULATOR.stats.h2d_bytes < 2 * features + 2 * 10**5
