"""The objective on the device: gradients by finite differences in double precision, and the same bits every time."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_cases import ORDERS, CupyBackend, examples, home, put, thread_order
from hypothesis import given
from hypothesis import strategies as st
from objective_cases import cases, make_case

from milk_np.models.extractors.objective import BackendTable, Objective, Weights, parts
from milk_np.models.extractors.parameters import blank_parameters
from milk_np.nn.gradcheck import TOLERANCE, check_direction, check_elements

pytestmark = pytest.mark.gpu

TERMS = {
    "risk": Weights(0.0, 0.0, 0.0),
    "risk, summed": Weights(0.0, 0.0, 0.0, mean=False),
    "variance": Weights(50.0, 0.0, 0.0),
    "alignment": Weights(0.0, 5.0, 0.0),
    "regulariser": Weights(0.0, 0.0, 5.0),
    "all parameters": Weights(0.0, 0.0, 5.0, all_parameters=True),
    "whole": Weights(50.0, 0.7, 0.4, mean=False),
}


class OnDevice:
    """The objective of a case of `objective_cases` on the device; the parameters to vary stay on the host."""

    def __init__(self, case):
        self.case, self.params = case, case.params
        backend = CupyBackend()
        tables = [BackendTable(*map(put, table)) for table in case.tables]
        U, K = case.params.P.shape
        self.objective = Objective(backend, tables, put(case.owned), U, case.weights, self.new_users(backend))
        scaled = case.params.scale is not None
        widths = [len(W) for W in case.params.W]
        self.device = blank_parameters(backend, U, widths, K, case.params.P.dtype, scaled=scaled)
        self.batch = put(case.users), put(case.items), put(case.theta)
        self.record = put(case.record)

    def new_users(self, backend):
        """The users' part; None for free ones."""
        return None

    def __call__(self):
        for (_, there), (_, here) in zip(self.device.arrays(), self.params.arrays(), strict=True):
            there[...] = put(here)
        return self.objective(self.device, *self.batch, self.record[0])

    def loss(self):
        self()
        return parts(home(self.record), self.case.weights)["total"]

    def dense_gradients(self):
        g = self()
        dP = home(g.P)
        if g.users is not None:
            users = home(g.users)
            somebody, rows = users >= 0, dP
            assert (rows[~somebody] == 0).all()
            dP = np.zeros_like(self.params.P)
            dP[users[somebody]] = rows[somebody]
        scale = [] if g.scale is None else [home(g.scale)]
        return [dP, *(home(x) for pair in zip(g.W, g.b, strict=True) for x in pair), *scale]


@examples(40)
@given(case=cases, seed=st.integers(0, 2**32 - 1), order=st.sampled_from(ORDERS))
def test_gradient_along_a_random_direction(case, seed, order):
    device = OnDevice(case)
    with thread_order(order):
        check = check_direction(device.loss, case.variables(), device.dense_gradients(), seed=seed)
    assert check.error < TOLERANCE, str(check)


@pytest.mark.parametrize("M", [1, 2, 3])
@pytest.mark.parametrize("name", TERMS)
def test_gradient_of_every_element(name, M):
    case = make_case(seed=M, M=M, K=3, U=4, n_items=6, weights=TERMS[name])
    device = OnDevice(case)
    for check in check_elements(device.loss, case.variables(), device.dense_gradients()):
        assert check.error < TOLERANCE, str(check)


@examples(40)
@given(case=cases)
def test_equals_the_references(case):
    device = OnDevice(case)
    for mine, plain in zip(device.dense_gradients(), case.dense_gradients(), strict=True):
        np.testing.assert_allclose(mine, plain, rtol=0, atol=1e-12 * max(1, np.abs(plain).max()))
    np.testing.assert_allclose(home(device.record), case.record, rtol=1e-12)


def test_single_precision_is_never_promoted():
    device = OnDevice(make_case(dtype=np.float32))
    assert {g.dtype for g in device.dense_gradients()} == {np.dtype(np.float32)}


def test_large_margins_stay_finite():
    device = OnDevice(make_case(scale=100.0, dtype=np.float32))
    assert np.isfinite(device.loss())
    assert all(np.isfinite(g).all() for g in device.dense_gradients())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_not_one_bit_depends_on_the_order_of_threads(dtype):
    case = make_case(seed=3, B=300, M=3, K=16, U=40, n_items=70, dtype=dtype)
    device, results = OnDevice(case), []
    for order in ORDERS:
        with thread_order(order):
            results.append(b"".join(x.tobytes() for x in [*device.dense_gradients(), home(device.record)]))
    assert len(set(results)) == 1
