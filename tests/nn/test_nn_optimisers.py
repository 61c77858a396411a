"""Optimisers over named tables: by their formulas written out, by each other, and their states."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import milk_np.kernels.cpu as cpu
import milk_np.kernels.reference as reference
from milk_np.errors import DataError, SettingsError
from milk_np.nn import schedules
from milk_np.nn.adam import Adam, AdamRows
from milk_np.nn.embedding import RowGradient, embedding_backward_rows, embedding_forward
from milk_np.nn.several import Several
from milk_np.nn.sgd import SGD, Adagrad

KINDS = {
    "adam": Adam,
    "adam, other betas": lambda tables, lr, **options: Adam(tables, lr, betas=(0.5, 0.9), eps=1e-3, **options),
    "adam, kernels": lambda tables, lr, **options: Adam(tables, lr, kernels=cpu, **options),
    "momentum": SGD,
    "descent": lambda tables, lr, **options: SGD(tables, lr, 0.0, **options),
    "adagrad": Adagrad,
    "adagrad, TensorFlow": lambda tables, lr, **options: Adagrad(tables, lr, initial=0.1, **options),
}


def plain(kind, x, gradients, lr, l2):
    """The published formulas, one number at a time."""
    first = second = 0.0
    start = 0.1 if "TensorFlow" in kind else 0.0
    (b1, b2), eps = ((0.5, 0.9), 1e-3) if "betas" in kind else ((0.9, 0.999), 1e-8)
    for t, g in enumerate(gradients, 1):
        g = g + l2 * x
        if kind.startswith("adam"):
            first, second = b1 * first + (1 - b1) * g, b2 * second + (1 - b2) * g * g
            x -= lr(t - 1) * (first / (1 - b1**t)) / (np.sqrt(second / (1 - b2**t)) + eps)
        elif kind.startswith("adagrad"):
            second += g * g
            x -= lr(t - 1) * g / (np.sqrt(start + second) + 1e-10)
        else:
            first = (0.9 if kind == "momentum" else 0.0) * first + g
            x -= lr(t - 1) * first
    return x


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 6), l2=st.sampled_from([0.0, 0.1]), falls=st.booleans())
def test_the_formulas(kind, seed, steps, l2, falls):
    rng = np.random.default_rng(seed)
    start, gradients = rng.standard_normal((3, 2)), rng.standard_normal((steps, 3, 2))
    lr = schedules.exponential(0.1, 0.5, 2) if falls else schedules.constant(0.1)
    table = start.copy()
    optimiser = KINDS[kind]({"x": table}, lr, l2=l2)
    for g in gradients:
        optimiser.step({"x": g})
    for index in np.ndindex(table.shape):
        expected = plain(kind, start[index], [g[index] for g in gradients], lr, l2)
        assert table[index] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_types_are_kept_and_gradients_are_only_read(kind):
    table, g = np.ones((3, 2), np.float32), np.full((3, 2), 0.5, np.float32)
    g.flags.writeable = False
    optimiser = KINDS[kind]({"x": table}, schedules.staircase(0.1, 0.5, 3), l2=0.1)
    optimiser.step({"x": g})
    assert table.dtype == np.float32
    assert all(x.dtype in (np.float32, np.int64) for x in optimiser.state().values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_without_gradient_stands_still(kind):
    tables = {"a": np.ones(3), "b": np.ones(3)}
    optimiser = KINDS[kind](tables, 0.1, l2=0.1)
    optimiser.step({"a": np.ones(3)})
    state = optimiser.state()
    optimiser.step({"a": np.ones(3)})
    assert (tables["b"] == 1).all()
    assert all((optimiser.state()[key] == x).all() for key, x in state.items() if key.endswith("/b"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_goes_through_a_file_bit_for_bit(kind):
    rng, lr = np.random.default_rng(0), schedules.exponential(0.1, 0.9, 1)
    tables = {name: rng.standard_normal((4, 3)).astype(np.float32) for name in ("steps", "first", "x y")}
    gradients = [{name: rng.standard_normal((4, 3)).astype(np.float32) for name in tables} for _ in range(6)]
    optimiser = KINDS[kind](tables, lr)
    for g in gradients[:3]:
        optimiser.step(g)
    file = io.BytesIO()
    np.savez(file, **optimiser.state())
    copies = {name: x.copy() for name, x in tables.items()}
    resumed = KINDS[kind](copies, lr)
    file.seek(0)
    resumed.load_state(np.load(file))
    for g in gradients[3:]:
        optimiser.step(g)
        resumed.step(g)
    for name, x in tables.items():
        assert x.tobytes() == copies[name].tobytes()
    before, after = optimiser.state(), resumed.state()
    assert {key: x.tobytes() for key, x in before.items()} == {key: x.tobytes() for key, x in after.items()}


def test_a_state_is_a_copy():
    optimiser = SGD({"x": np.zeros(2)}, 0.1)
    state = optimiser.state()
    optimiser.step({"x": np.ones(2)})
    assert (state["velocity/x"] == 0).all()


@pytest.mark.parametrize("kernels", [reference, cpu])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 8))
def test_exact_rows_end_where_dense_adam_does(kernels, seed, steps):
    rng = np.random.default_rng(seed)
    dense, rows = (np.random.default_rng(seed).standard_normal((6, 3)) for _ in range(2))
    adam, by_rows = Adam({"x": dense}, 0.1), AdamRows({"x": rows}, 0.1, kernels)
    for _ in range(steps):
        ids = rng.integers(0, 6, 4).astype(np.int32)
        by_rows.catch_up("x", np.unique(ids))
        _, cache = embedding_forward(rows, ids)
        gradient = embedding_backward_rows(rng.standard_normal((4, 3)), cache)
        whole = np.zeros_like(dense)
        whole[gradient.ids] = gradient.values
        adam.step({"x": whole})
        by_rows.step({"x": gradient})
    by_rows.catch_up("x")
    np.testing.assert_allclose(rows, dense, rtol=1e-12, atol=1e-12)


def test_lazy_rows_move_only_when_touched():
    table = np.ones((3, 2), np.float32)
    optimiser = AdamRows({"x": table}, schedules.constant(0.1), cpu, "lazy")
    one = RowGradient(np.array([1], np.int32), np.ones((1, 2), np.float32))
    optimiser.step({"x": one})
    moved = table[1].copy()
    optimiser.step({"x": RowGradient(np.array([2], np.int32), np.ones((1, 2), np.float32))})
    optimiser.catch_up("x")
    assert (table[0] == 1).all()
    np.testing.assert_array_equal(table[1], moved)
    second_step = 1 - 0.1 * (0.1 / (1 - 0.9**2)) / np.sqrt(0.001 / (1 - 0.999**2))
    np.testing.assert_allclose(table[2], second_step, rtol=1e-5)


def test_rows_that_were_not_caught_up_are_refused():
    optimiser = AdamRows({"x": np.ones((3, 2))}, 0.1, reference)
    for _ in range(2):
        optimiser.catch_up("x", np.array([0], np.int32))
        optimiser.step({"x": RowGradient(np.array([0], np.int32), np.ones((1, 2)))})
    with pytest.raises(DataError, match=r"1 rows of table 'x'.*row 2; call catch_up"):
        optimiser.step({"x": RowGradient(np.array([2], np.int32), np.ones((1, 2)))})


def test_a_state_of_rows_goes_on_bit_for_bit():
    rng, tables = np.random.default_rng(0), {"x": np.ones((5, 2), np.float32)}
    gradients = [
        RowGradient(np.array([k % 5], np.int32), rng.standard_normal((1, 2)).astype(np.float32)) for k in range(9)
    ]

    def walk(optimiser, part):
        for g in part:
            optimiser.catch_up("x", g.ids)
            optimiser.step({"x": g})

    optimiser = AdamRows(tables, 0.1, cpu)
    walk(optimiser, gradients[:4])
    copies = {"x": tables["x"].copy()}
    resumed = AdamRows(copies, 0.1, cpu)
    resumed.load_state(optimiser.state())
    for each in (optimiser, resumed):
        walk(each, gradients[4:])
        each.catch_up("x")
    assert tables["x"].tobytes() == copies["x"].tobytes()


def test_several_have_states_and_rates_of_their_own():
    tables = {"a": np.ones(2), "b": np.ones(2)}
    several = Several({"one": SGD({"a": tables["a"]}, 0.1, 0.0), "two": SGD({"b": tables["b"]}, 0.5, 0.0)})
    several.step({name: np.ones(2) for name in tables})
    several["two"].step({"b": np.ones(2)})
    assert (tables["a"] == 0.9).all()
    assert (tables["b"] == 0.0).all()
    assert set(several.state()) == {"one/velocity/a", "one/steps/a", "two/velocity/b", "two/steps/b"}
    assert int(several.state()["two/steps/b"]) == 2


def test_a_state_that_does_not_fit_changes_nothing():
    def make(width):
        return Several({"one": Adam({"a": np.ones(2)}), "two": Adam({"b": np.ones(width)})})

    given = make(3)
    given.step({"a": np.ones(2), "b": np.ones(3)})
    several = make(2)
    with pytest.raises(DataError, match=r"first/b .* shape \(3,\)"):
        several.load_state(given.state())
    assert int(several.state()["one/steps/a"]) == 0


def test_bad_states_are_told():
    optimiser = Adam({"a": np.ones(2)})
    state = optimiser.state()
    with pytest.raises(DataError, match="lacks second/a"):
        optimiser.load_state({key: x for key, x in state.items() if key != "second/a"})
    with pytest.raises(DataError, match="holds other"):
        optimiser.load_state(state | {"other": np.ones(1)})
    with pytest.raises(DataError, match="float32"):
        optimiser.load_state(state | {"first/a": np.ones(2, np.float32)})
    with pytest.raises(DataError, match="no optimiser 'first'"):
        Several({"one": optimiser}).load_state(state)


def read_only():
    x = np.ones(2)
    x.flags.writeable = False
    return x


ONE = np.ones(2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam({"a/b": np.ones(2)}), "'a/b'"),
        (lambda: Adam({"": np.ones(2)}), "must not be empty"),
        (lambda: Adam({"a": np.ones(2, np.int32)}), "int32"),
        (lambda: Adam({"a": read_only()}), "read-only"),
        (lambda: Adam({"a": ONE, "b": ONE}), "'a' and 'b' are one array"),
        (lambda: Adam({"a": ONE}, l2=-1), "l2"),
        (lambda: Adam({"a": ONE}, l2={"b": 0.1}), "l2 names b"),
        (lambda: Adam({"a": ONE}, betas=(1.0, 0.9)), "betas"),
        (lambda: Adam({"a": ONE}, eps=0.0), "eps"),
        (lambda: Adam({"a": ONE}, betas=(0.5, 0.9), kernels=cpu), "leave kernels out"),
        (lambda: Adam({"a": ONE}, 0.0), "lr"),
        (lambda: Adam({"a": np.ones((4, 4))[::2]}, kernels=cpu), "contiguous"),
        (lambda: AdamRows({"a": np.ones((4, 4)).T[:2]}, 0.1, cpu), "contiguous"),
        (lambda: AdamRows({"a": ONE}, 0.1, cpu), "1 dimensions"),
        (lambda: AdamRows({"a": ONE}, schedules.constant(0.1), cpu), "one rate"),
        (lambda: AdamRows({"a": ONE}, 0.1, cpu, "sparse"), "exact or lazy"),
        (lambda: SGD({"a": ONE}, 0.1, 1.0), "momentum"),
        (lambda: Adagrad({"a": ONE}, 0.1, initial=-1.0), "initial"),
        (lambda: Several({"x": Adam({"a": ONE}), "y": Adam({"a": np.ones(2)})}), "moved by 'x' too"),
        (lambda: Several({"x": Adam({"a": ONE}), "y": Adam({"b": ONE})}), "moved by 'x' too"),
        (lambda: Several({"x/y": Adam({"a": ONE})}), "'x/y'"),
        (lambda: Several({"x": Adam({"a": ONE})}).step({"b": ONE}), "no optimiser moves a table 'b'"),
        (lambda: Adam({"a": ONE}).step({"b": ONE}), "no table 'b'"),
        (lambda: Adam({"a": ONE}).step({"a": np.ones((1, 2))}), r"shape \(1, 2\)"),
        (lambda: Adam({"a": ONE}).step({"a": np.ones(2, np.float32)}), "float32"),
        (lambda: AdamRows({"a": np.ones((2, 2))}, 0.1, cpu).step({"a": np.ones((2, 2))}), "RowGradient"),
        (
            lambda: AdamRows({"a": np.ones((2, 2))}, 0.1, cpu).step(
                {"a": RowGradient(np.zeros(1, int), np.ones((2, 2)))}
            ),
            r"expected \(1, 2\)",
        ),
        (lambda: schedules.staircase(0.1, 0.0, 5), "factor"),
        (lambda: schedules.exponential(0.1, 0.5, 0), "every"),
    ],
)
def test_bad_input_is_told(make, message):
    with pytest.raises((SettingsError, DataError), match=message):
        make()


def test_a_wrong_gradient_moves_no_table():
    tables = {"a": np.ones(2), "b": np.ones(2)}
    with pytest.raises(DataError):
        Adam(tables).step({"a": np.ones(2), "b": np.ones(3)})
    assert (tables["a"] == 1).all()


def test_schedules():
    assert [schedules.staircase(1.0, 0.5, 2)(t) for t in range(5)] == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert [schedules.exponential(1.0, 0.25, 2)(t) for t in range(3)] == [1.0, 0.5, 0.25]
    assert [schedules.warm_up(schedules.constant(4.0), 3)(t) for t in range(5)] == [1.0, 2.0, 3.0, 4.0, 4.0]
