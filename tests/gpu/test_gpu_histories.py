"""Users as profiles on the device: kernels against references, gradients, training, and what a step may cost."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_cases import (
    EMULATOR,
    ORDERS,
    Guarded,
    counted,
    cupy,
    examples,
    gpu,
    home,
    kernel_module,
    orders_of_threads,
    put,
    thread_order,
)
from hypothesis import given
from kernel_cases import assert_close
from objective_cases import make_case
from test_gpu_budget import launches as launches
from test_gpu_budget import trained
from test_gpu_objective import OnDevice
from test_gpu_training import PARAMETER, assert_same_parameters, trained_steps
from test_history_kernels import lists as cases
from test_history_kernels import make_lists
from test_users import KINDS, TERMS, profiled, shortest_sum
from training_cases import small_set

import milk_np.kernels.reference as reference
from milk_np.models.milk.model import Milk
from milk_np.models.milk.users import Histories
from milk_np.nn.gradcheck import TOLERANCE, check_direction, check_elements

pytestmark = pytest.mark.gpu


class Compared:
    """A case of `test_history_kernels` through the references and the device, whose rows are in other orders."""

    def __init__(self, case, order):
        self.case, self.order, rng = case, order, np.random.default_rng(0)
        self.B, self.n_u = len(case.users), len(case.by_user.unique)
        table = np.full(len(case.owned), -1, np.int32)
        own = case.indptr, case.history, case.by_user.unique, case.items
        self.plain = reference.read_histories(*own, reference.group(case.items, table), table, 0)
        place = cupy.full(len(case.owned), -1, np.int32)
        self.by_user = gpu.group(put(case.users), cupy.full(len(case.indptr) - 1, -1, np.int32))
        groups = gpu.group(put(case.items), place)
        self.room = min(len(case.owned), len(self.plain[1].slot)) + 3
        with thread_order(order):
            lists = put(case.indptr), put(case.history), self.by_user.unique, put(case.items)
            self.mine = gpu.read_histories(*lists, groups, place, self.room)
        self.rows = home(self.mine[0].unique)
        self.n = len(self.plain[0].unique)
        self.draw = lambda *shape: rng.standard_normal(shape).astype(case.dtype)

    def to_device(self, rows):
        """Rows in the references' order (..., n, K) as the device has them, nobody's of NaN."""
        out = np.full((*rows.shape[:-2], self.room, rows.shape[-1]), np.nan, rows.dtype)
        out[..., : self.n, :] = rows[..., self.sorter(), :]
        return put(out)

    def sorter(self):
        """Row in the references' order of each of the device's rows."""
        at = {item: row for row, item in enumerate(self.plain[0].unique)}
        return np.array([at[item] for item in self.rows[: self.n]])

    def users(self, rows):
        """Rows of users, with nobody's behind them."""
        out = np.full((len(self.by_user.unique), rows.shape[1]), np.nan, rows.dtype)
        out[: self.n_u] = rows
        return put(out)

    def close(self, mine, plain):
        assert_close(mine, plain, self.case.dtype, terms=100 * len(self.plain[1].slot) * self.case.K)


some = examples(30)


@some
@given(case=cases, order=orders_of_threads)
def test_everything_that_a_batch_extracts(case, order):
    of = Compared(case, order)
    (by_item, lists), (plain, others) = of.mine, of.plain
    distinct = len(np.unique(case.items))
    assert (of.rows[of.n :] == -1).all()
    np.testing.assert_array_equal(of.rows[:distinct], plain.unique[:distinct])
    np.testing.assert_array_equal(of.rows[distinct : of.n], np.sort(plain.unique[distinct:]))
    np.testing.assert_array_equal(home(by_item.start)[: of.n + 1], plain.start)
    assert (home(by_item.start)[of.n :] == len(case.items)).all()
    for name in ("slot", "order"):
        np.testing.assert_array_equal(home(getattr(by_item, name)), getattr(plain, name))
    np.testing.assert_array_equal(home(lists.lengths)[: of.n_u], others.lengths)
    assert not home(lists.lengths)[of.n_u :].any()
    places = home(lists.places)
    np.testing.assert_array_equal(places[of.rows[: of.n]], np.arange(of.n))
    assert (np.delete(places, of.rows[: of.n]) == -1).all()


@some
@given(case=cases, order=orders_of_threads)
def test_sums_of_histories(case, order):
    of = Compared(case, order)
    h, total = of.draw(of.n, case.K), np.empty((of.n_u, case.K), case.dtype)
    reference.sum_histories(h, of.plain[1], total)
    mine = Guarded((len(of.by_user.unique), case.K), case.dtype)
    with thread_order(order):
        gpu.sum_histories(of.to_device(h), of.mine[1], mine.array)
    of.close(mine.home()[: of.n_u], total)
    assert not mine.home()[of.n_u :].any()


@some
@given(case=cases, order=orders_of_threads)
def test_gradients_of_histories(case, order):
    """By few users at a time too, twice, so that what the first call leaves behind shows."""
    of = Compared(case, order)
    left, dh = of.draw(of.B, case.K), np.empty((of.n, case.K), case.dtype)
    by_origin = np.concatenate([left, np.empty((of.n_u, case.K), case.dtype)])
    reference.histories_backward(by_origin, case.by_user, of.plain[1], dh)
    for owners in (2048, 20):
        for _ in range(2):
            there = Guarded((of.B + len(of.by_user.unique), case.K), case.dtype)
            mine = Guarded((of.room, case.K), case.dtype)
            there.array[: of.B] = put(left)
            with pytest.MonkeyPatch.context() as patch, thread_order(order):
                patch.setattr(kernel_module("histories"), "OWNERS", owners)
                gpu.histories_backward(there.array, of.by_user, of.mine[1], mine.array)
            of.close(mine.home()[: of.n], dh[of.sorter()])
            assert not mine.home()[of.n :].any()
            np.testing.assert_array_equal(there.home()[: of.B], left)


@some
@given(case=cases, order=orders_of_threads)
def test_means_of_owned_modalities(case, order):
    of = Compared(case, order)
    c, dh, dc = of.draw(case.M, of.n, case.K), of.draw(of.n, case.K), of.draw(case.M, of.n, case.K)
    h, there = np.empty((of.n, case.K), case.dtype), of.to_device(dc)
    mine, rows, owned = Guarded((of.room, case.K), case.dtype), put(of.rows), put(case.owned)
    reference.owned_mean(c, of.plain[0].unique, case.owned, h)
    reference.owned_mean_backward(dh, of.plain[0].unique, case.owned, dc)
    with thread_order(order):
        gpu.owned_mean(of.to_device(c), rows, owned, mine.array)
        gpu.owned_mean_backward(of.to_device(dh), rows, owned, there)
    of.close(mine.home()[: of.n], h[of.sorter()])
    assert not mine.home()[of.n :].any()
    of.close(home(there)[:, : of.n], dc[:, of.sorter()])
    assert np.isnan(home(there)[:, of.n :]).all()


@some
@given(case=cases, order=orders_of_threads)
def test_profiles_without_the_positive(case, order):
    of = Compared(case, order)
    h, total, scale = of.draw(of.n, case.K), of.draw(of.n_u, case.K), of.draw(1)
    blank = lambda *shape: np.empty(shape, case.dtype)  # noqa: E731
    plain = blank(of.B, case.K), blank(of.B), blank(of.B, case.K)
    by_item, lists = of.plain
    reference.leave_one_out(total, h, case.by_user.slot, by_item.slot[: of.B], lists.lengths, scale, *plain)
    mine = [Guarded(x.shape, case.dtype) for x in plain]
    with thread_order(order):
        slots = of.by_user.slot, of.mine[0].slot[: of.B], of.mine[1].lengths
        gpu.leave_one_out(of.users(total), of.to_device(h), *slots, put(scale), *(x.array for x in mine))
    well = plain[1] < 10  # the rest of the sums nearly vanish, which leaves the direction to rounding
    for a, b in zip(mine, plain, strict=True):
        of.close(a.home()[well], b[well])


@some
@given(case=cases, order=orders_of_threads)
def test_gradient_of_profiles(case, order):
    of = Compared(case, order)
    dq, unit, inverse, scale = of.draw(of.B, case.K), of.draw(of.B, case.K), of.draw(of.B), of.draw(1)
    left, dscale = np.empty_like(dq), np.empty(1, case.dtype)
    reference.leave_one_out_backward(dq, unit, inverse, scale, left, dscale)
    for _ in range(2):
        mine = Guarded(left.shape, case.dtype), Guarded(1, case.dtype)
        with thread_order(order):
            gpu.leave_one_out_backward(*map(put, (dq, unit, inverse, scale)), *(x.array for x in mine))
        of.close(mine[0].home(), left)
        of.close(mine[1].home(), dscale)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("K", [1, 3, 64, 200])
def test_sums_of_rows(K, order):
    rng = np.random.default_rng(K)
    table, lengths = rng.standard_normal((40, K)).astype(np.float32), rng.integers(0, 9, 33)
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    index = rng.integers(-1, 40, start[-1]).astype(np.int32)
    plain, mine = np.empty((33, K), np.float32), Guarded((33, K), np.float32)
    reference.sum_rows(table, start, index, plain)
    with thread_order(order):
        gpu.sum_rows(put(table), put(start), put(index), mine.array)
    assert_close(mine.home(), plain, terms=9)


@pytest.mark.parametrize("order", ORDERS)
def test_more_items_than_a_block_numbers(order):
    """Items of histories lie in the spans of several blocks."""
    rng, n_items = np.random.default_rng(1), 9001
    case = make_lists(0, 60, 20, n_items, 2, 1, np.float32)
    extra = np.sort(rng.choice(n_items, (20, 300), replace=True), axis=1)
    own = [np.unique(np.append(extra[u], case.history[case.indptr[u] : case.indptr[u + 1]])) for u in range(20)]
    case.history = np.concatenate(own).astype(np.int32)
    case.indptr = np.concatenate([[0], np.cumsum([len(x) for x in own])])
    of = Compared(case, order)
    np.testing.assert_array_equal(np.sort(of.rows[: of.n]), np.sort(of.plain[0].unique))
    np.testing.assert_array_equal(home(of.mine[1].places)[of.rows[: of.n]], np.arange(of.n))


# The objective


class WithHistories(OnDevice):
    """A case of users with profiles on the device."""

    def __init__(self, case):
        users = case.objective._users
        self.histories = Histories(*map(put, users._histories))
        self.kind = type(users)
        super().__init__(case)

    def new_users(self, backend):
        return self.kind(backend, self.case.objective._users._user_places.size, put(self.case.owned), self.histories)


@examples(40)
@given(case=profiled, order=orders_of_threads)
def test_gradient_along_a_random_direction(case, order):
    if shortest_sum(case) > 0.05:
        device = WithHistories(case)
        with thread_order(order):
            check = check_direction(device.loss, case.variables(), device.dense_gradients(), seed=1)
        assert check.error < TOLERANCE * max(1, 1 / shortest_sum(case)), str(check)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("M", [1, 3])
@pytest.mark.parametrize("name", TERMS)
def test_gradient_of_every_element(name, M, kind):
    case = make_case(seed=M, M=M, K=3, weights=TERMS[name], kind=kind)
    device = WithHistories(case)
    for check in check_elements(device.loss, case.variables(), device.dense_gradients()):
        assert check.error < TOLERANCE, str(check)


@examples(40)
@given(case=profiled)
def test_equals_the_references(case):
    device, size = WithHistories(case), max(1, 1 / shortest_sum(case))
    for mine, plain in zip(device.dense_gradients(), case.dense_gradients(), strict=True):
        np.testing.assert_allclose(mine, plain, rtol=0, atol=1e-12 * size**2 * max(1, np.abs(plain).max(initial=0)))
    np.testing.assert_allclose(home(device.record), case.record, rtol=1e-12 * size, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_not_one_bit_depends_on_the_order_of_threads(kind):
    case = make_case(seed=3, B=300, M=3, K=16, U=40, n_items=70, dtype=np.float32, kind=kind)
    device, results = WithHistories(case), []
    for order in ORDERS:
        with thread_order(order):
            results.append(b"".join(x.tobytes() for x in [*device.dense_gradients(), home(device.record)]))
    assert len(set(results)) == 1
    assert {g.dtype for g in device.dense_gradients()} == {np.dtype(np.float32)}


# Training


@pytest.fixture(scope="module")
def ds():
    return small_set()


@pytest.mark.parametrize(
    "options",
    [
        {"users": "profile"},
        {"users": "both"},
        {"users": "both", "reg_scope": "all", "reg": 1e-3},
        {"users": "profile", "dim": 33},
    ],
)
def test_twenty_steps_are_those_of_the_cpu(ds, options):
    (cpu, host), (device, steps) = (trained_steps(ds, name, 20, **options) for name in ("cpu", "gpu"))
    assert_same_parameters(cpu, device, 5 * PARAMETER)
    for name, value in host.losses(10).items():
        assert steps.losses(10)[name] == pytest.approx(value, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("users", KINDS)
def test_served_on_either_device(ds, users, tmp_path):
    """The same lists from a model that was saved on the device; new users and items too."""
    model, _ = trained_steps(ds, "gpu", 12, users=users)
    model.save(tmp_path / "model.npz")
    there, here = (Milk.load(tmp_path / "model.npz", device=device) for device in ("gpu", "cpu"))
    histories = [np.array([1, 2, 5]), np.array([], np.int64), np.array([7])]
    for one in (there, here):
        np.testing.assert_allclose(one.user_factors(), model.user_factors(), atol=1e-5)
        np.testing.assert_allclose(one.encode_users(histories), model.encode_users(histories), atol=1e-5)
    assert not model.encode_users(histories)[1].any()
    lists = [one.recommend(k=5).found for one in (there, here)]
    assert (lists[0] == lists[1]).mean() > 0.99


@pytest.mark.parametrize("users", KINDS)
def test_replayed_steps_have_the_bits_of_plain_ones(ds, users):
    from test_gpu_replay import assert_same_bits, begun, run

    options = {"users": users, "batch_size": 100}
    trainer = begun(ds, **options)
    steps = trainer.steps + 3
    assert trainer.engine._replays
    assert_same_bits(run(trainer, 0, steps), run(begun(ds, replayed=False, **options), 0, steps))


# What a step may cost

MIDDLE = [
    "rows_forward",
    "owned_mean",
    "sum_histories",
    "leave_one_out",
    "margins",
    "risk_forward",
    "risk_backward",
    "margins_backward_users",
    "margins_backward_items",
    "alignment_count",
    "alignment_pull",
]
READ = ["clear_places", "mark_items", "count_wanted", "number_items"]
BACK = ["leave_one_out_backward", "sum_rows", "mark_owners", "sum_owners", "owned_mean_backward"]
STEPS = {
    "profile": ["begin_step", *READ, *MIDDLE, "regulariser", *BACK, "rows_backward", "adam", "end_step"],
    "both": [
        *("begin_step", "adam_catch_up", *READ, *MIDDLE, "sum_rows", "regulariser", *BACK),
        *("adam_rows", "rows_backward", "adam", "end_step"),
    ],
}
"""A replayed step; batches are drawn and grouped many at a time."""


@pytest.mark.parametrize("users", KINDS)
def test_the_launches_of_a_step(users, launches):
    launches.clear()
    trained(users=users)
    assert launches[-len(STEPS[users]) :] == STEPS[users]
    assert len(STEPS[users]) == {"profile": 25, "both": 28}[users]


@counted
@pytest.mark.parametrize("users", KINDS)
def test_nothing_crosses_the_bus_and_nobody_waits(users, launches):
    """Two launches of CuPy's are those that add the free vectors."""
    _, trainer = trained(users=users)
    trainer.step(1, 1)
    EMULATOR.stats.reset()
    launches.clear()
    steps = trainer.steps - 3
    for step in range(2, steps + 2):
        trainer.step(1, step)
    stats = EMULATOR.stats
    assert (stats.h2d, stats.d2h, stats.d2d, stats.sync) == (0, 0, 0, 0)
    assert stats.launch == len(launches) + (2 * steps if users == "both" else 0)


def test_memory_that_training_needs_is_told_before(ds):
    free, profile = (Milk(device="gpu", users=users)._device_bytes(ds) for users in ("free", "profile"))
    assert profile["a batch"] > free["a batch"]
    assert profile["parameters and optimiser"] < free["parameters and optimiser"]
