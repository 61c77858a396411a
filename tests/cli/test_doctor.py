"""milk-doctor tells what there is and what is missing, and notices what is broken."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from milk_np.backends import driver as devices
from milk_np.cli import doctor
from milk_np.cli.doctor import Finding


def lines_of(section: Any) -> dict[str, Finding]:
    return {finding.what: finding for finding in section()}


def test_the_whole_report_runs_and_finds_nothing_broken(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--threads", "2"]) == 0
    shown = capsys.readouterr().out
    for text in ("numba", "BLAS", "OMP_WAIT_POLICY", "kernel cache", "--device gpu", "relative error"):
        assert text in shown
    assert "!!" not in shown
    assert "Everything needed works." in shown


def test_a_broken_part_is_marked_and_gives_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = [("Part", lambda: iter([Finding("!!", "thing", "is broken"), Finding("--", "other", "absent")]))]
    monkeypatch.setattr(doctor, "SECTIONS", broken)
    assert doctor.main([]) == 1
    assert "1 problem;" in capsys.readouterr().out


def test_a_library_that_is_absent_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "versions", lambda names: {"numpy": "2.0"} if "numpy" in names else {})
    found = lines_of(doctor._libraries)
    assert found["numba"].state == "!!"
    assert found["pyarrow"].state == "--"
    assert 'pip install "milk-np[parquet]"' in found["pyarrow"].text


def test_a_missing_core_library_ends_the_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "versions", lambda _names: {})
    assert doctor.main([]) == 1
    shown = capsys.readouterr().out
    assert "4 problems;" in shown
    assert "BLAS" not in shown


def test_a_wrong_gradient_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(prove=lambda: [("bpr", 1e-9), ("alignment", 1e-3)])
    monkeypatch.setitem(sys.modules, "milk_np.models.milk.proof", fake)
    found = lines_of(doctor._gradients)
    assert (found["bpr"].state, found["alignment"].state) == ("ok", "!!")


def test_without_a_driver_the_reason_is_the_missing_library() -> None:
    assert "libnothing.so can't be loaded" in str(devices.driver_problem("libnothing.so"))
    assert devices.device_names("libnothing.so") == []


@pytest.mark.parametrize(
    ("code", "count", "text"),
    [(100, 0, "finds no device"), (3, 0, "cuInit returned 3"), (0, 0, "offers no device"), (0, 1, None)],
)
def test_a_driver_tells_why_it_offers_nothing(
    monkeypatch: pytest.MonkeyPatch, code: int, count: int, text: str | None
) -> None:
    def count_devices(pointer: Any) -> int:
        pointer._obj.value = count
        return 0

    def name_device(name: Any, _size: int, _device: int) -> int:
        name.value = b"Some GPU"
        return 0

    driver = SimpleNamespace(cuInit=lambda _flags: code, cuDeviceGetCount=count_devices, cuDeviceGetName=name_device)
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda _name: driver)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    problem = devices.driver_problem()
    assert (problem is None) == (text is None)
    assert text is None or text in str(problem)
    assert devices.device_names() == ["Some GPU"] * (count if code == 0 else 0)


def test_without_cupy_the_reason_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda _name: None)
    monkeypatch.setattr(devices, "cupy_distributions", list)
    assert "milk-np[gpu]" in str(devices.cupy_problem())


def test_two_distributions_of_cupy_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cupy_distributions", lambda: ["cupy-cuda12x 13", "cupy-cuda13x 14"])
    assert "uninstall all but one" in str(devices.cupy_problem())


def test_the_line_of_the_gpu_names_the_option_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milk_np.backends.select.gpu_problem", lambda: "no NVIDIA driver")
    found = lines_of(doctor._gpu)["--device gpu"]
    assert found.state == "--"
    assert found.text.startswith("no NVIDIA driver")


@pytest.mark.parametrize("path", [Path("/nowhere/cache"), None])
def test_a_cache_that_can_not_be_used_is_told(monkeypatch: pytest.MonkeyPatch, path: Path | None) -> None:
    monkeypatch.setattr(doctor, "kernel_cache", lambda: path)
    assert doctor._cache().state == "--"
    assert "NUMBA_CACHE_DIR" in doctor._cache().text
