"""Reading ahead asks for the right pages, and for nothing where nothing is mapped."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milk_np.data.prefetch import Prefetcher, mapped_bytes
from milk_np.models.extractors.step import _Ahead


class Listener:
    """Stands in for the mapping and notes which bytes are asked for."""

    def __init__(self, size):
        self.asked = np.zeros(size + 2 * mmap.PAGESIZE, bool)
        self.calls = 0

    def madvise(self, option, start, length):
        assert option == mmap.MADV_WILLNEED
        assert start % mmap.PAGESIZE == 0
        self.asked[start : start + length] = True
        self.calls += 1


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "rows.npy"
    np.save(path, np.zeros((300, 333), np.float32))
    return np.load(path, mmap_mode="r")


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.integers(0, 299), min_size=1, max_size=60))
def test_asks_for_every_byte_of_the_rows(mapped, rows):
    prefetcher = Prefetcher([mapped, np.zeros((5, 5))])
    (table,) = prefetcher._maps
    listener = table._mmap = Listener(table._first + mapped.nbytes)
    prefetcher.ask(np.array(rows, np.int32)).result()
    prefetcher.close()
    needed = np.zeros_like(listener.asked)
    for row in rows:
        start = table._first + row * table._row
        needed[start : start + table._row] = True
    assert listener.asked[needed].all()
    # Nothing but the pages that the rows lie on, and one request for neighbours.
    assert listener.asked.sum() <= needed.sum() + 2 * mmap.PAGESIZE * len(set(rows))
    assert listener.calls <= len(set(rows))


def test_reads_a_real_mapping(mapped):
    prefetcher = Prefetcher([mapped])
    assert prefetcher.ask(np.arange(300, dtype=np.int32)).exception() is None
    past = np.array([10**6], np.int32)  # the mapping refuses it: what is asked for does reach it
    assert isinstance(prefetcher.ask(past).exception(), (ValueError, OSError))
    prefetcher.close()


def test_an_error_in_reading_ahead_is_raised_at_the_next_batch(mapped, monkeypatch):
    class Sampler:
        steps = 3

        def batch(self, epoch, step):
            return np.zeros(1, np.int32), np.array([0, 10**6 if step == 1 else 1], np.int32)

    monkeypatch.setattr("milk_np.models.extractors.step.available_bytes", lambda: 0)
    ahead = _Ahead(Sampler(), [mapped])
    ahead.batch(1, 0)
    with pytest.raises((ValueError, OSError)):
        ahead.batch(1, 1)


def test_counts_only_what_is_mapped(mapped):
    assert mapped_bytes([mapped, np.zeros((5, 5))]) == mapped.nbytes
