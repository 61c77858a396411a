"""The blocks of the library on the device: the same proofs as on the host, and the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_cases import ORDERS, cupy, examples, home, put, thread_order
from hypothesis import given
from hypothesis import strategies as st
from nn_cases import BLOCKS, disagreements, run
from nn_sizes import REDUCTIONS, Sizes, library

pytestmark = pytest.mark.gpu
NN = library()

sizes = st.builds(
    Sizes,
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 4),
    D=st.integers(1, 3),
    K=st.integers(1, 3),
    reduction=st.sampled_from(REDUCTIONS),
    full=st.booleans(),
    put=st.just(put),
    kernels=st.just("gpu"),
    xp=st.just(cupy),
)


def on_device(**changes):
    return Sizes(put=put, kernels="gpu", xp=cupy, **changes)


@pytest.mark.parametrize("name", BLOCKS)
@examples(4)
@given(sizes=sizes, order=st.sampled_from(ORDERS))
def test_gradients_are_those_of_finite_differences(name, sizes, order):
    with thread_order(order):
        assert disagreements(name, sizes, NN) == []


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_host_and_keeps_the_type(name, dtype):
    mine, plain = run(name, on_device(n=33, dtype=dtype), NN), run(name, Sizes(n=33, dtype=dtype), NN)
    tolerance = {np.float32: 1e-4, np.float64: 1e-12}[dtype]
    for a, b in zip((mine[0], *mine[2]), (plain[0], *plain[2]), strict=True):
        assert isinstance(a, cupy.ndarray)
        assert a.dtype == dtype
        np.testing.assert_allclose(home(a), b, tolerance, tolerance * max(1, abs(b).max(initial=0)))
