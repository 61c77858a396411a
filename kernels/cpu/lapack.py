"""Cholesky factors and what is done with them, without the interpreter's lock: several run side by side.

SciPy's own functions hold the lock. The addresses of the routines, which SciPy publishes for Cython, are called
without it. Matrices are float32 or float64 whose rows are contiguous; each call is one thread's, so that its bits don't
depend on the number of threads.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numba.extending import get_cython_function_address
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats

MIRROR_ROWS = 64


def cholesky(a: Floats) -> None:
    """The lower triangle of `a` (n, n), symmetric, becomes C with a = C C^T; what stands above it means nothing.

    Only that triangle is read. Raises LinAlgError where `a` isn't positive definite.
    """
    _check(_call("lapack", "potrf", a, b"U", len(a), a, _leading(a)))


def invert_factor(factor: Floats) -> None:
    """The lower triangle of `factor`, C, becomes that of (C C^T)^-1."""
    _check(_call("lapack", "potri", factor, b"U", len(factor), factor, _leading(factor)))


def invert_triangle(factor: Floats) -> None:
    """The lower triangle of `factor`, C, becomes C^-1."""
    _check(_call("lapack", "trtri", factor, b"U", b"N", len(factor), factor, _leading(factor)))


def inverse(factor: Floats) -> Floats:
    """C^-1 (n, n), a lower triangle with zeros above; C is the lower triangle of `factor`."""
    out = factor.copy()
    clear_above(out)
    invert_triangle(out)
    return out


def divide_rows(x: Floats, factor: Floats, transposed: bool) -> None:
    """`x` (n, q) becomes x C^-1, or x C^-T if `transposed`; C is the lower triangle of `factor` (q, q)."""
    _divide(x, factor, b"L", transposed)


def divide(x: Floats, factor: Floats, transposed: bool) -> None:
    """`x` (q, k) becomes C^-1 x, or C^-T x if `transposed`; C is the lower triangle of `factor` (q, q)."""
    _divide(x, factor, b"R", transposed)


def solve(x: Floats, factor: Floats) -> None:
    """`x` (q, k) becomes (C C^T)^-1 x; C is the lower triangle of `factor` (q, q)."""
    divide(x, factor, transposed=False)
    divide(x, factor, transposed=True)


def mirror(a: Floats) -> None:
    """The upper triangle of `a` (n, n) becomes what the lower one is."""
    for start in range(0, len(a), MIRROR_ROWS):
        rows, rest = slice(start, start + MIRROR_ROWS), slice(start + MIRROR_ROWS, None)
        corner = a[rows, rows]
        corner[...] = np.tril(corner) + np.tril(corner, -1).T
        a[rows, rest] = a[rest, rows].T


def clear_above(a: Floats) -> None:
    """The upper triangle of `a` (n, n) becomes zero."""
    for start in range(0, len(a), MIRROR_ROWS):
        rows, stop = slice(start, start + MIRROR_ROWS), start + MIRROR_ROWS
        a[rows, rows] = np.tril(a[rows, rows])
        a[rows, stop:] = 0


def _divide(x: Floats, factor: Floats, side: bytes, transposed: bool) -> None:
    """Column by column, as the routines read memory, x is x^T and C is C^T, an upper triangle."""
    m, n, kind = x.shape[1], x.shape[0], _kind(x)
    if m and n:
        trans = b"T" if transposed else b"N"
        _call("blas", "trsm", x, side, b"U", trans, b"N", m, n, kind(1), factor, _leading(factor), x, _leading(x))


def _call(library: str, name: str, like: NDArray[Any], *arguments: Any) -> int:
    """Call the routine of the type of `like`; returns what it says of its success, if it says so."""
    info = ctypes.c_int(0)
    given = [_address(argument) for argument in arguments]
    given += [ctypes.byref(info)] if library == "lapack" else []
    _routine(library, ("s" if like.dtype == np.float32 else "d") + name, len(given))(*given)
    return info.value


@cache
def _routine(library: str, name: str, arguments: int) -> Any:
    address = get_cython_function_address(f"scipy.linalg.cython_{library}", name)
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * arguments)(address)


def _address(argument: Any) -> Any:
    if isinstance(argument, np.ndarray):
        return argument.ctypes.data
    if isinstance(argument, bytes):
        argument = ctypes.c_char(argument)
    elif isinstance(argument, int):
        argument = ctypes.c_int(argument)
    return ctypes.byref(argument)


def _kind(x: Floats) -> Any:
    return ctypes.c_float if x.dtype == np.float32 else ctypes.c_double


def _leading(a: Floats) -> int:
    return max(1, a.strides[0] // a.itemsize)


def _check(info: int) -> None:
    if info:
        raise np.linalg.LinAlgError(f"not positive definite: row {info} of its factor")
