"""Looking for a device where there is one: each cause as CuPy tells it."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
from gpu_cases import CupyBackend, cupy, home, put

from milk_np.backends import driver as devices
from milk_np.backends import select
from milk_np.backends.base import Backend
from milk_np.backends.numba import NumpyBackend
from milk_np.backends.select import get_backend
from milk_np.cli import doctor

pytestmark = pytest.mark.gpu


def test_a_gpu_that_can_be_used():
    assert select.gpu_problem() is None
    for device in ("gpu", "auto"):
        assert isinstance(get_backend(device), CupyBackend)


@pytest.mark.parametrize(
    "name", [name for name in vars(Backend) if callable(getattr(Backend, name)) and name[0] != "_"]
)
def test_both_backends_have_the_same_methods(name):
    expected = inspect.signature(getattr(Backend, name))
    for backend in (NumpyBackend, CupyBackend):
        assert list(inspect.signature(getattr(backend, name)).parameters) == list(expected.parameters)
    assert {x for x in vars(CupyBackend) if not x.startswith("_")} <= {"name", *vars(Backend)}


def test_the_doctor_shows_it():
    found = {finding.what: finding for finding in doctor._gpu()}
    assert found["--device gpu"].state == "ok"
    assert "compute capability" in found["--device gpu"].text


def fail(*_):
    raise cupy.cuda.runtime.CUDARuntimeError(35)


def test_a_driver_that_is_too_old_for_cupy(monkeypatch):
    monkeypatch.setattr("milk_np.backends.cupy.cupy.cuda.runtime.getDeviceCount", fail)
    monkeypatch.setattr(devices, "driver_problem", lambda: None)
    monkeypatch.setattr(devices, "version_problem", lambda: "the driver supports at most CUDA 12.4")
    assert select.gpu_problem() == "the driver supports at most CUDA 12.4"
    monkeypatch.setattr(devices, "version_problem", lambda: None)
    assert "CUDA doesn't start" in select.gpu_problem()


def test_no_device(monkeypatch):
    monkeypatch.setattr("milk_np.backends.cupy.cupy.cuda.runtime.getDeviceCount", lambda: 0)
    monkeypatch.setattr(devices, "driver_problem", lambda: None)
    assert select.gpu_problem() == "CUDA finds no device"


def test_too_old_a_device(monkeypatch):
    old = SimpleNamespace(compute_capability="61", id=0)
    monkeypatch.setattr("milk_np.backends.cupy.cupy.cuda.Device", lambda: old)
    assert "too old: its compute capability is 6.1" in select.gpu_problem()


def test_a_library_that_is_not_there(monkeypatch):
    def absent(name):
        raise ImportError(f"no library for {name}\nand more")

    monkeypatch.setattr("milk_np.backends.cupy.import_module", absent)
    told = select.gpu_problem()
    assert "CuPy can't load a library of CUDA (no library for cupy.cublas)" in told
    assert "[ctk]" in told


def test_arrays_go_there_and_back():
    import numpy as np

    backend, rng = CupyBackend(), np.random.default_rng(0)
    for values in (rng.random((5000, 3)).T, np.arange(7), np.float64(3), np.zeros((0, 4), np.float16), [[True, False]]):
        there = backend.asarray(values)
        assert there.flags.c_contiguous
        np.testing.assert_array_equal(backend.to_host(there), values)
        assert backend.to_host(there).dtype == np.asarray(values).dtype
    assert backend.asarray(put(np.arange(3)), np.float32).dtype == np.float32
    assert home(backend.full((2, 2), -1, np.int32)).tolist() == [[-1, -1], [-1, -1]]
    assert (home(backend.copy(put(np.arange(5)))) == np.arange(5)).all()
