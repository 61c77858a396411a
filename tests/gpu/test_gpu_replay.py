"""Steps that are replayed: kernels against references, the same bits as plain steps, arguments that never change."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_cases import cupy, examples, gpu, home, orders_of_threads, put, thread_order
from hypothesis import given
from hypothesis import strategies as st
from test_gpu_kernels import training_pairs
from training_cases import OPTIONS, small_set

import milk_np.kernels.reference as reference
from milk_np.kernels.gpu.capture import Recorded
from milk_np.kernels.gpu.launch import Kernel
from milk_np.kernels.reference import replay as reference_replay
from milk_np.kernels.reference.grouping import Groups
from milk_np.models.milk.model import Milk

pytestmark = pytest.mark.gpu
seeds = st.integers(0, 2**64 - 1)


@pytest.fixture(scope="module")
def ds():
    return small_set()


def begun(ds, replayed=True, **options):
    model = Milk(**{**OPTIONS, "batch_size": 64, "device": "gpu", **options})
    trainer = model.trainer(ds)
    if not replayed:
        trainer.engine._replay = None
    return trainer


def run(trainer, first, last):
    for at in range(first, last):
        trainer.step(1 + at // trainer.steps, at % trainer.steps)
    return trainer


def assert_same_bits(one, other):
    one, other = one.state(), other.state()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"negative_pool": 40},
        {"without": ("cmam", "ceim")},
        {"environments": "independent", "env_draws": 2, "preset": "reference", "dim": 33},
        {"batch_size": 10**6},
        {"batch_size": 1},
    ],
)
def test_replayed_and_plain_steps_give_the_same_bits(ds, options):
    trainer = begun(ds, **options)
    steps = min(60, 2 * trainer.steps + 3)
    assert_same_bits(run(trainer, 0, steps), run(begun(ds, replayed=False, **options), 0, steps))


@pytest.mark.parametrize("stop", [1, 7, 33])
def test_a_state_from_the_middle_of_an_epoch_goes_on_to_the_same_bits(ds, stop):
    whole, first, then = (begun(ds) for _ in range(3))
    run(first, 0, stop)
    then.load_state(first.state())
    assert_same_bits(run(then, stop, stop + 9), run(whole, 0, stop + 9))


def test_going_back_to_an_earlier_state_plays_the_same_steps_again(ds):
    model = run(begun(ds), 0, 5)
    state = model.state()
    run(model, 5, 9)
    after = model.state()
    model.load_state(state)
    run(model, 5, 9)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, after[name], err_msg=name)


def arguments_of(work):
    """Name, grid and arguments of every launch that `work` makes, arrays by their address unless `work` made them."""
    seen, made = [], set()

    def allocate(size):
        memory = cupy.get_default_memory_pool().malloc(size)
        made.add(memory.ptr)
        return memory

    def plain(value):
        if not isinstance(value, cupy.ndarray):
            return value
        return "its own" if value.data.mem.ptr in made else value.data.ptr

    with pytest.MonkeyPatch.context() as patch, cupy.cuda.using_allocator(allocate):
        for method in ("threads", "blocks"):
            original = getattr(Kernel, method)

            def noted(self, *arguments, _original=original, **options):
                seen.append((self.name, *map(plain, arguments), *sorted(options.items())))
                return _original(self, *arguments, **options)

            patch.setattr(Kernel, method, noted)
        work()
    return seen


@pytest.mark.emulator  # a device launches a graph, whose arguments can't be seen
def test_the_launches_of_two_steps_have_the_same_arguments(ds):
    trainer = run(begun(ds), 0, 3)
    first, later = (arguments_of(trainer.engine._replay._step) for _ in range(2))
    run(trainer, 3, trainer.steps + 2)
    assert first == later == arguments_of(trainer.engine._replay._step)
    assert len(first) > 10


@pytest.mark.emulator  # a device is given branches of a graph
@pytest.mark.parametrize("options", [{}, {"without": ("cmam",)}, {"users": "both", "device": "cpu"}])
def test_work_aside_may_run_as_late_as_it_is_waited_for(ds, options, monkeypatch):
    """Nothing between the start of such work and its end may read or write what it does."""
    at_once = run(begun(ds, **options), 0, 12)
    late = lambda self, work: work  # noqa: E731
    monkeypatch.setattr("milk_np.backends.cupy.CupyBackend.aside", late)
    monkeypatch.setattr("milk_np.backends.base.Backend.aside", late)
    assert_same_bits(run(begun(ds, **options), 0, 12), at_once)


@pytest.mark.device  # the emulator captures nothing
def test_a_device_replays_a_graph(ds):
    trainer = run(begun(ds), 0, 3)
    assert trainer.engine._replay._play.captured


def test_recorded_work_is_done_once_a_call():
    count = cupy.zeros(1, np.int64)

    def work():
        count[...] += cupy.ones(1, np.int64)

    recorded = Recorded(work)
    for calls in range(1, 6):
        recorded()
        assert home(count)[0] == calls


def test_errors_of_recorded_work_are_raised():
    def work():
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            Recorded(work)()


def test_the_memory_of_a_graph_is_nobody_elses():
    """What the work allocated and gave back is written again by every replay."""
    out = cupy.zeros(1000, np.float32)

    def work():
        part = cupy.full(1000, 3, np.float32)
        out[...] += part

    recorded = Recorded(work)
    recorded()
    recorded()
    others = [cupy.full(1000, 7, np.float32) for _ in range(8)]
    recorded()
    assert all((home(other) == 7).all() for other in others)
    assert (home(out) == 9).all()


@examples(15)
@given(seed=seeds, B=st.integers(1, 40), G=st.integers(1, 5), gap=st.integers(0, 9), order=orders_of_threads)
def test_batches_drawn_at_once_are_those_drawn_one_by_one(seed, B, G, gap, order):
    rng = np.random.default_rng(seed)
    pairs = training_pairs(rng, 20, 30, 0.4)
    if len(pairs[0]) < B * G:
        return
    keys, none = (int(seed), 5), np.zeros(0, np.int64)
    store = cupy.full((G, 3 * B + gap), -7, np.int32)
    users, items = store[:, :B], store[:, B : 3 * B]
    with thread_order(order):
        gpu.replay.draw_batches(*keys, 0, B * G, *map(put, pairs), put(none), users, items)
    for g in range(G):
        expected = reference.draw_batch(*keys, g * B, B, *pairs, none)
        np.testing.assert_array_equal(home(users)[g], expected[0])
        np.testing.assert_array_equal(home(items)[g], expected[1])
    assert (home(store)[:, 3 * B :] == -7).all(), "something was written beside the batches"


@examples(15)
@given(seed=seeds, T=st.integers(1, 70), n=st.integers(1, 90), G=st.integers(1, 5), order=orders_of_threads)
def test_batches_grouped_at_once_are_those_grouped_one_by_one(seed, T, n, G, order):
    ids = np.random.default_rng(seed).integers(0, n, (G, T)).astype(np.int32)
    sizes = gpu.replay.widths(T, n)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    store, tables = cupy.full((G, starts[-1] + T), -9, np.int32), cupy.full((G, n), -1, np.int32)
    store[:, starts[-1] :] = put(ids)
    out = Groups(*(store[:, start : start + size] for start, size in zip(starts, sizes, strict=False)))
    with thread_order(order):
        gpu.replay.group_batches(store[:, starts[-1] :], tables, out)
    for g in range(G):
        for part, alone in zip(out, gpu.group(put(ids[g]), cupy.full(n, -1, np.int32)), strict=True):
            np.testing.assert_array_equal(home(part)[g], home(alone))
    assert (home(tables) == -1).all()


@examples(15)
@given(
    seed=seeds,
    dtype=st.sampled_from([np.float32, np.float64]),
    sizes=st.tuples(*[st.integers(1, 6)] * 2, st.integers(1, 9), st.integers(1, 300)),
    order=orders_of_threads,
)
def test_a_step_begins_and_ends_as_the_reference_says(seed, dtype, sizes, order):
    G, steps, W, R = sizes
    L, rng = 4 * W, np.random.default_rng(seed)
    batches = rng.integers(-1, 99, (G, L)).astype(np.int32)
    schedule, made = rng.random((steps, W)).astype(dtype), rng.random(R)
    clock = np.array([rng.integers(0, 3 * G), rng.integers(0, steps), rng.integers(0, 2**40)])
    batch, now, record = np.zeros(L, np.int32), np.zeros(W, dtype), np.zeros((steps, R))
    on_device = [put(x) for x in (batch, now, record)]
    device_clock = cupy.zeros(3, np.int64)
    with thread_order(order):
        gpu.replay.set_clock(*map(int, clock), device_clock)
        gpu.replay.begin_step(device_clock, put(batches), on_device[0], put(schedule), on_device[1])
        gpu.replay.end_step(device_clock, put(made), on_device[2])
    reference_replay.begin_step(clock, batches, batch, schedule, now)
    reference_replay.end_step(clock, made, record)
    for found, expected in zip([*on_device, device_clock], [batch, now, record, clock], strict=True):
        np.testing.assert_array_equal(home(found), expected)
