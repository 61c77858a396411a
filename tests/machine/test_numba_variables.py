"""Values of Numba's variables with which no kernel could run are told before anything starts."""

from __future__ import annotations

import pytest

from milk_np.cli import doctor
from milk_np.errors import SettingsError
from milk_np.machine import threads


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("NUMBA_NUM_THREADS", "0", "whole number of at least 1, got '0'"),
        ("NUMBA_NUM_THREADS", "many", "whole number of at least 1, got 'many'"),
        ("NUMBA_THREADING_LAYER", "bogus", "expected one of default, .*got 'bogus'"),
        ("NUMBA_THREADING_LAYER", "tbb", "pip install tbb"),
        ("NUMBA_DISABLE_JIT", "1", "unset it"),
    ],
)
def test_a_value_that_ends_every_kernel_is_told(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(threads, "_has_tbb", lambda: False)
    with pytest.raises(SettingsError, match=rf"{variable}: .*{said}"):
        threads.check_environment()
    assert doctor.main([]) == 2
    assert variable in capsys.readouterr().err


@pytest.mark.parametrize(("variable", "value"), [("NUMBA_THREADING_LAYER", "omp"), ("NUMBA_DISABLE_JIT", "0")])
def test_other_values_are_not(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    threads.check_environment()
