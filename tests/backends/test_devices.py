"""What is said where no GPU can be used: the actual cause and what to do, never just that it doesn't work."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from milk_np.backends import driver as devices
from milk_np.backends import select
from milk_np.backends.numba import NumpyBackend
from milk_np.backends.select import get_backend
from milk_np.cli import train
from milk_np.errors import DeviceError
from milk_np.settings.names import DEVICES
from milk_np.settings.shared import Settings


class Driver(SimpleNamespace):
    """A driver that supports `cuda`, such as 12040 for CUDA 12.4, and answers `code` when it is started."""

    def __init__(self, cuda: int, code: int = 0) -> None:
        super().__init__(cuda=cuda, code=code)

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = self.cuda
        return 0

    def cuInit(self, _flags: int) -> int:  # noqa: N802
        return self.code


def missing(_name: str) -> None:
    raise OSError("no such file")


@pytest.fixture
def cupy13(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cupy_distributions", lambda: ["cupy-cuda13x 14.2.0"])


def test_cupy_for_a_newer_cuda_than_the_driver_s(monkeypatch: pytest.MonkeyPatch, cupy13: None) -> None:
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda _name: Driver(12040))
    told = str(devices.version_problem())
    assert "cupy-cuda13x 14.2.0 is for CUDA 13, the driver supports at most CUDA 12.4" in told
    assert "milk-np[gpu12]" in told


@pytest.mark.parametrize("driver", [13000, 13020, 14000])
def test_a_driver_that_is_new_enough(monkeypatch: pytest.MonkeyPatch, cupy13: None, driver: int) -> None:
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda _name: Driver(driver))
    assert devices.version_problem() is None


def test_nothing_is_said_of_versions_that_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cupy_distributions", lambda: ["cupy 14.2.0"])
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda _name: Driver(11000))
    assert devices.version_problem() is None
    monkeypatch.setattr(devices.ctypes, "CDLL", missing)
    assert devices.driver_cuda() is None
    assert devices.version_problem() is None


@pytest.mark.parametrize(("capability", "shown"), [(61, "6.1"), (70, "7.0")])
def test_too_old_a_device(capability: int, shown: str) -> None:
    told = str(devices.age_problem("Old GPU", capability))
    assert "Old GPU is too old" in told
    assert f"capability is {shown}, at least 7.5" in told


@pytest.mark.parametrize("capability", [75, 90, 120])
def test_a_device_that_is_new_enough(capability: int) -> None:
    assert devices.age_problem("GPU", capability) is None


def test_without_driver_and_cupy_both_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda _name: None)
    monkeypatch.setattr(devices, "cupy_distributions", list)
    monkeypatch.setattr(devices.ctypes, "CDLL", missing)
    told = str(select.gpu_problem())
    assert "no NVIDIA driver" in told
    assert "CuPy is not installed" in told


def test_with_a_driver_the_cause_is_cupy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda _name: None)
    monkeypatch.setattr(devices, "cupy_distributions", list)
    monkeypatch.setattr(devices, "driver_problem", lambda: None)
    told = str(select.gpu_problem())
    assert told.startswith("CuPy is not installed")
    for extra in ("milk-np[gpu]", "milk-np[gpu12]"):
        assert extra in told


def test_cupy_that_can_not_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cupy_problem", lambda: None)
    monkeypatch.setitem(sys.modules, "milk_np.backends.cupy", None)
    assert "can't be loaded" in str(select.gpu_problem())


def test_the_gpu_is_refused_with_the_cause(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    monkeypatch.setattr(select, "gpu_problem", lambda: "no NVIDIA driver")
    with pytest.raises(DeviceError, match=r"--device gpu: no NVIDIA driver; or compute on the CPU: --device cpu"):
        get_backend("gpu")
    assert train.main(["--device", "gpu", "--quiet", "--epochs", "1", "--out", str(tmp_path / "run")]) == 5
    assert "no NVIDIA driver" in capsys.readouterr().err


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "gpu_problem", lambda: "no NVIDIA driver")
    assert isinstance(get_backend("auto"), NumpyBackend)


def test_the_cpu_is_used_without_looking_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "gpu_problem", lambda: pytest.fail("a GPU was looked for"))
    assert isinstance(get_backend("cpu"), NumpyBackend)


class OtherBackend(NumpyBackend):
    """A device of its own."""

    name = "other"


def test_a_row_is_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEVICES, "other", f"{__name__}:OtherBackend")
    monkeypatch.setattr(select, "gpu_problem", lambda: pytest.fail("a GPU was looked for"))
    backend = get_backend("other")
    assert isinstance(backend, OtherBackend)
    assert not backend.captures
    assert Settings.options()["device"].choices == (*(name for name in DEVICES if name != "other"), "auto")


def test_a_process_that_computes_on_the_cpu_never_loads_cupy() -> None:
    code = (
        "from milk_np.backends.select import get_backend; get_backend('cpu'); import sys; print('cupy' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "False"
