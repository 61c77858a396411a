"""Every system on the device against the CPU: the same steps to rounding, the same pretrained tables, its lists."""

from __future__ import annotations

import numpy as np
import pytest
from cases import Case, cases, small_set
from gpu_cases import CupyBackend

from milk_np.backends.numba import NumpyBackend
from milk_np.models.registry import model_class
from milk_np.settings.pretrained import BACKBONES, PretrainedSettings
from milk_np.training.pretraining.cache import learned

pytestmark = pytest.mark.gpu

STEPS, RATE = 2, 1e-4
"""Few and small: Adam makes whole steps of gradients that are rounding alone."""


@pytest.fixture(scope="module")
def ds():
    return small_set()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_pretrained_tables_are_those_of_the_cpu(ds, backbone):
    how = PretrainedSettings(
        dim=5, backbone=backbone, backbone_epochs=2, backbone_batch_size=500, backbone_lr=0.02, seed=1
    )
    host, device = (learned(backend(), ds, how) for backend in (NumpyBackend, CupyBackend))
    for ours, theirs in zip(host, device, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-4)


def trained(case: Case, ds, device):
    fewer = {"backbone_epochs": 1} if "backbone_epochs" in case.options else {}
    model = model_class(case.name)(**{**case.options, **fewer, "lr": RATE}, device=device)
    trainer = model.trainer(ds)
    for step in range(STEPS):
        trainer.step(1, step % trainer.steps)
    return model, trainer


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_steps_vectors_and_lists_are_those_of_the_cpu(case, ds):
    (host, by_host), (device, by_device) = (trained(case, ds, name) for name in ("cpu", "gpu"))
    expected = by_host.losses(min(STEPS, by_host.steps))
    for name, value in by_device.losses(min(STEPS, by_device.steps)).items():
        assert value == pytest.approx(expected[name], rel=1e-3, abs=1e-5), name
    np.testing.assert_allclose(device.user_factors(), host.user_factors(), atol=2e-3)
    np.testing.assert_allclose(device.item_factors(), host.item_factors(), atol=2e-3)
    new = ds.new_items()[:5]
    rows = {ds.modalities[0]: ds.features[ds.modalities[0]][new]}
    np.testing.assert_allclose(device.encode_items(rows), host.encode_items(rows), atol=2e-3)
    assert device.recommend([0, 3], k=4).found.shape == (2, 4)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_goes_on_from_its_state(case, ds):
    whole, _ = trained(case, ds, "gpu")
    model, first = trained(case, ds, "gpu")
    state = first.state()
    again = model_class(case.name)(model.settings)
    trainer = again.trainer(ds)
    trainer.load_state(state)
    for name, x in whole.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], x, err_msg=name)
    for step in range(2):
        for each in (first, trainer):
            each.step(2, step % each.steps)
    for name, x in model.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], x, err_msg=name)
