"""Blocks composed by hand into one net: the whole gradient, its type, and training that ends where it is resumed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from two_tower import backward, forward, make_batch, make_tables

from milk_np.nn.adam import Adam
from milk_np.nn.gradcheck import TOLERANCE, check_direction, check_elements
from milk_np.nn.several import Several
from milk_np.nn.sgd import SGD, Adagrad


@pytest.mark.parametrize("seed", range(5))
def test_the_whole_gradient(seed):
    tables, batch = make_tables(seed), make_batch(seed)
    gradients = backward(forward(tables, batch)[1])
    variables, claimed = list(tables.values()), [gradients[name] for name in tables]

    def loss():
        return float(forward(tables, batch)[0])

    along = [check_direction(loss, variables, claimed, seed=k) for k in range(3)]
    for check in (*along, *check_elements(loss, variables, claimed)):
        assert check.error < TOLERANCE, str(check)


@pytest.mark.parametrize("name", ["users", "items", "W", "gamma", "beta", "W_gate", "b_gate", "W_expert", "b_expert"])
def test_a_wrong_gradient_of_any_table_is_seen(name):
    tables, batch = make_tables(), make_batch()
    gradients = backward(forward(tables, batch)[1])
    gradients[name] = gradients[name] * 1.001
    variables, claimed = list(tables.values()), [gradients[name] for name in tables]

    def loss():
        return float(forward(tables, batch)[0])

    errors = [check_direction(loss, variables, claimed, seed=k).error for k in range(3)]
    assert max(errors) > TOLERANCE  # a single direction may be all but at right angles to a table's gradient


def test_single_precision_all_the_way():
    tables = make_tables(dtype=np.float32)
    loss, cache = forward(tables, make_batch(dtype=np.float32))
    assert loss.dtype == np.float32
    assert {g.dtype for g in backward(cache).values()} == {np.dtype(np.float32)}


def optimisers(tables):
    left, right = {"users", "items"}, {"W", "b", "gamma", "beta"}
    return Several({
        "ids": Adagrad({name: tables[name] for name in left}, 0.1),
        "layer": SGD({name: tables[name] for name in right}, 0.05, l2={"W": 1e-3}),
        "experts": Adam({name: x for name, x in tables.items() if name not in left | right}, 0.01),
    })  # fmt: skip


def train(tables, several, steps):
    losses = []
    for step in steps:
        loss, cache = forward(tables, make_batch(step, dtype=np.float32), step)
        several.step(backward(cache))
        losses.append(float(loss))
    return losses


def test_training_lowers_the_loss():
    tables = make_tables(dtype=np.float32)
    losses = train(tables, optimisers(tables), [k % 4 for k in range(80)])
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:8])


def test_resumed_training_ends_with_the_same_bits():
    whole = make_tables(dtype=np.float32)
    train(whole, optimisers(whole), range(12))
    first = make_tables(dtype=np.float32)
    several = optimisers(first)
    train(first, several, range(5))
    file = io.BytesIO()
    np.savez(file, **several.state(), **first)
    file.seek(0)
    with np.load(file) as saved:
        second = {name: saved[name] for name in first}
        resumed = optimisers(second)
        resumed.load_state({key: saved[key] for key in saved.files if key not in second})
    train(second, resumed, range(5, 12))
    assert {name: x.tobytes() for name, x in second.items()} == {name: x.tobytes() for name, x in whole.items()}
