"""BLAS on one thread for a while, and as before afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  brings an OpenBLAS of its own

from milk_np.kernels.blas import one_blas_thread, openblas_pools


def test_one_thread_inside_and_as_before_afterwards() -> None:
    pools = openblas_pools()
    libraries = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    assert bool(pools) == ("openblas" in libraries)
    before = [get() for get, _ in pools]
    with one_blas_thread():
        assert all(get() == 1 for get, _ in pools)
        with one_blas_thread():
            assert all(get() == 1 for get, _ in pools)
    assert [get() for get, _ in pools] == before


def test_callers_that_overlap() -> None:
    before = [get() for get, _ in openblas_pools()]
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert all(get() == 1 for get, _ in openblas_pools())
    second.__exit__(None, None, None)
    assert [get() for get, _ in openblas_pools()] == before


def test_threads_come_back_after_an_error() -> None:
    before = [get() for get, _ in openblas_pools()]
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        raise ZeroDivisionError
    assert [get() for get, _ in openblas_pools()] == before


def test_without_an_openblas_nothing_happens(tmp_path: Path) -> None:
    assert openblas_pools(tmp_path / "absent") == []
    maps = tmp_path / "maps"
    maps.write_text(f"7f00-7f01 r-xp 00000000 00:00 0    {tmp_path}/libopenblas.so\n7f01-7f02 rw-p 00000000 00:00 0\n")
    assert openblas_pools(maps) == []
