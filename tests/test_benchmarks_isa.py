"""Benchmarks held to an instruction set: what each library is told, what it did, and what is made of a breach."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import harness  # noqa: E402
import isa  # noqa: E402
import ran  # noqa: E402
import shapes  # noqa: E402
import tables  # noqa: E402
import worker as workers  # noqa: E402
from options import Options  # noqa: E402
from subjects import first_use, sampling, topk  # noqa: E402
from worker import Worker  # noqa: E402

from milk_np.machine.environment import cpu_flags  # noqa: E402

SPEC = spec_from_file_location("benchmarks_run", BENCHMARKS / "run.py")  # by its file: others have a `run` too
assert SPEC is not None
assert SPEC.loader is not None
run = module_from_spec(SPEC)
SPEC.loader.exec_module(run)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the problem that smoke runs use."""
    folder = tmp_path_factory.mktemp("tiny")
    shapes.write(shapes.TINY, folder)
    return folder


held_to_avx2 = pytest.mark.skipif(bool(isa.unfit("avx2")), reason=isa.unfit("avx2"))


@held_to_avx2
def test_every_library_is_told_and_native_is_told_nothing() -> None:
    told, native = isa.variables("avx2"), isa.variables("native")
    assert told.keys() == native.keys()
    assert set(native.values()) == {None}
    assert told["OPENBLAS_CORETYPE"] in ("Zen", "Haswell")
    assert told["OPENBLAS_L2_SIZE"] is None
    assert not any(flag.startswith("avx512") for flag in isa.flags("avx2"))


def test_held_variables_replace_those_that_were_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isa, "variables", lambda name: {"MILK_A": name, "MILK_B": None})
    monkeypatch.setenv("MILK_A", "")
    monkeypatch.setenv("MILK_B", "x")
    isa.hold("avx2")
    assert (os.environ["MILK_A"], os.environ.get("MILK_B")) == ("avx2", None)


@pytest.mark.parametrize(
    ("elapsed", "used"), [([], None), ([-1], False), ([-1, 5_000], False), ([-1, 100], True), ([5_000, 0], True)]
)
def test_a_thread_that_used_avx512_meanwhile_is_found(tmp_path: Path, elapsed: list[int], used: bool | None) -> None:
    for thread, milliseconds in enumerate(elapsed):
        (tmp_path / str(thread)).mkdir()
        (tmp_path / str(thread) / "arch_status").write_text(f"AVX512_elapsed_ms:\t{milliseconds}\n")
    assert ran.used_avx512(time.monotonic() - 1.0, tmp_path) is used


def test_a_thread_that_has_ended_is_no_breach(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    assert ran.used_avx512(time.monotonic(), tmp_path) is None
    assert ran.used_avx512(time.monotonic(), tmp_path / "absent") is None


def test_what_left_the_instruction_set_is_named() -> None:
    kept = {"torch": "AVX2", "faiss": "AVX2", "threadpoolctl": ["openblas 0.3.31 Haswell"], "AVX-512": False}
    assert ran.held("avx2", kept) == ran.held("avx2", kept | {"AVX-512": None}) == []
    left = kept | {"torch": "AVX512", "threadpoolctl": ["openblas 0.3.31 SkylakeX"], "AVX-512": True}
    assert ran.held("native", left) == []
    assert ran.held("avx2", left) == [
        "a thread used AVX-512",
        "torch chose AVX512",
        "threadpoolctl chose ['openblas 0.3.31 SkylakeX']",
    ]


@held_to_avx2
def test_this_engine_is_held_to_avx2(tiny: Path) -> None:
    with Worker("peers.milk_engine", {"problem": str(tiny), "how": "paper"}, isa.variables("avx2")) as engine:
        engine.call("run", steps=1)
    found = workers.RAN[engine.name]
    assert found["numba"] == f"{isa.kind()}, vectors of 32 bytes"
    assert not found["AVX-512"]
    assert ran.held("avx2", found) == []


@pytest.mark.skipif(not cpu_flags() >= topk.AVX512, reason="the processor lacks AVX-512")
def test_what_is_not_held_is_seen_to_use_avx512(tiny: Path) -> None:
    with Worker("peers.milk_engine", {"problem": str(tiny), "how": "paper"}, isa.variables("native")) as engine:
        engine.call("run", steps=1)
    found = workers.RAN[engine.name]
    assert found["numba"].endswith("vectors of 64 bytes")
    assert found["AVX-512"] in (True, None)


@held_to_avx2
def test_a_first_use_tells_what_it_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in isa.variables("avx2").items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    told: list[dict[str, object]] = []
    first_use.use("milk-train --preset best, no helper", tmp_path, told)
    found = workers.RAN.pop("milk-train --preset best, no helper")
    assert found["numba"] == f"{isa.kind()}, vectors of 32 bytes"
    assert ("threadpoolctl" in found) == (find_spec("threadpoolctl") is not None)
    assert ran.held("avx2", found) == []
    assert told[0].keys() == {"wall", "cpu", "phases", "kernels"}


def test_a_subject_goes_by_the_name_of_its_file_too() -> None:
    assert run.parse(["--only", "first_use", "epoch"]).only == ["first-use", "epoch"]


def test_a_subject_fails_whose_program_left_the_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_: Options) -> list[harness.Outcome]:
        workers.RAN["x"] = {"torch": "AVX512", "AVX-512": None}
        return [harness.Outcome("x", "X", [], [], [], {})]

    monkeypatch.setattr(sampling, "measure", measure)
    native, avx2 = Options(isa="native"), Options(isa="avx2")
    assert run.measured("sampling", native)[0].ran == {"x": {"torch": "AVX512", "AVX-512": None}}
    with pytest.raises(RuntimeError, match="not held to avx2: x: torch chose AVX512"):
        run.measured("sampling", avx2)
    native.scratch.cleanup()
    avx2.scratch.cleanup()


def test_caches_are_read_as_the_system_gives_them(tmp_path: Path) -> None:
    for place, (level, kind, size) in enumerate(
        [("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "1M")]
    ):
        (tmp_path / f"index{place}").mkdir()
        for name, value in (("level", level), ("type", kind), ("size", size)):
            (tmp_path / f"index{place}" / name).write_text(f"{value}\n")
    assert ran.caches(tmp_path) == {"L1d": "48K", "L1i": "32K", "L2": "1M"}
    assert ran.caches(tmp_path / "absent") == {}


def test_only_a_processor_with_avx512_is_asked_for_it() -> None:
    """OpenBLAS takes a name of a processor for granted and dies of an illegal instruction."""
    for flags in (set(), {"avx2", "fma"}, topk.AVX512 - {"avx512bw"}):
        assert topk.searches(flags) == topk.SEARCHES
    assert topk.searches(topk.AVX512 | {"avx2"}).keys() == topk.SEARCHES.keys() | topk.FAISS_AVX512.keys()
    assert not any("OPENBLAS_CORETYPE" in env for *_, env in topk.SEARCHES.values())


x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the clock is measured on x86_64 alone")


def busy(seconds: float) -> None:
    """CPU time of this thread, however long it takes."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@x86_64
def test_time_that_others_had_is_no_slow_clock() -> None:
    """Most of a try is waiting, as on a core that others use: no clock, rather than a wrong one."""
    found = ran.clock(lambda x, n: (time.sleep(0.01), busy(0.001), x)[2], tries=3)
    assert found == {"clock_ghz": None, "clock_left_out": "the core was shared in all of 3 tries"}


@x86_64
def test_the_fastest_of_many_tries_counts() -> None:
    """The first ones run at the idle frequency. 4 cycles a step: 500,000 steps in a millisecond are 2 GHz."""
    pace = iter([0.004, 0.002, *[0.001] * 98])
    assert 1.8 < ran.clock(lambda x, n: (busy(next(pace)), x)[1], tries=100)["clock_ghz"] <= 2.0


def test_a_clock_that_was_left_out_is_told_under_the_table() -> None:
    where = {"instructions": ["avx2"], "caches": {"L2": "1M"}}
    left = where | {"clock_ghz": None, "clock_left_out": "the core was shared"}
    assert tables.held({"machine": where | {"clock_ghz": 2.5}, "isa": "native"}).endswith("; 2.5 GHz")
    assert tables.held({"machine": left, "isa": "native"}).endswith("; clock left out: the core was shared")
