"""Every block against finite differences in double precision, and what all blocks promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_cases import BLOCKS, disagreements, run
from nn_sizes import REDUCTIONS, Sizes, library

NN = library()

sizes = st.builds(
    Sizes,
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 5),
    D=st.integers(1, 3),
    K=st.integers(1, 4),
    scale=st.sampled_from([1.0, 10.0]),
    reduction=st.sampled_from(REDUCTIONS),
    full=st.sampled_from([True, True, False]),
    kernels=st.sampled_from(["reference", "cpu"]),
)


@pytest.mark.parametrize("name", BLOCKS)
@settings(max_examples=25, deadline=None)
@given(sizes=sizes)
def test_gradients_are_those_of_finite_differences(name, sizes):
    assert disagreements(name, sizes, NN) == []


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_type_of_the_input_is_kept(name, dtype):
    out, _, gradients = run(name, Sizes(dtype=dtype, kernels="cpu"), NN)
    assert out.dtype == dtype
    assert {g.dtype for g in gradients} == {np.dtype(dtype)}


@pytest.mark.parametrize("name", BLOCKS)
def test_no_gradient_in_none_out(name):
    variables, call = BLOCKS[name](NN, Sizes())
    out, back = call(*variables)
    gradients = back(np.zeros(out.shape))
    for gradient in gradients if isinstance(gradients, tuple | list) else (gradients,):
        assert not gradient.any()


@pytest.mark.parametrize("name", BLOCKS)
def test_no_rows_at_all(name):
    out, _, gradients = run(name, Sizes(n=0), NN)
    assert np.isfinite(out).all()
    assert not any(gradient.any() for gradient in gradients)


def awkward(x):
    """A read-only copy of x whose numbers stand apart in memory."""
    store = np.zeros(tuple(2 * size for size in x.shape), x.dtype)
    view = store[(*(slice(None, None, 2) for _ in x.shape), ...)]
    view[...] = x
    view.flags.writeable = False
    return view


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inputs_may_be_read_only_and_not_contiguous(name, dtype):
    plain = run(name, Sizes(dtype=dtype), NN)
    other = run(name, Sizes(dtype=dtype), NN, awkward)
    tolerance = {np.float32: 1e-5, np.float64: 1e-13}[dtype]
    np.testing.assert_allclose(other[0], plain[0], tolerance, tolerance)
    for a, b in zip(other[2], plain[2], strict=True):
        np.testing.assert_allclose(a, b, tolerance, tolerance)


def _copies(gradients):
    return [np.array(g) for g in (gradients if isinstance(gradients, tuple | list) else (gradients,))]


@pytest.mark.parametrize("name", BLOCKS)
def test_a_backward_pass_may_be_run_twice(name):
    """Caches are read, not used up: GAR goes through one network's layers for two losses."""
    variables, call = BLOCKS[name](NN, Sizes())
    out, back = call(*variables)
    dout = np.random.default_rng(0).standard_normal(out.shape)
    kept = dout.copy()
    first, second = _copies(back(dout)), _copies(back(dout))
    np.testing.assert_array_equal(dout, kept)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
