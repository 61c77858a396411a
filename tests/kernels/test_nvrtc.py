"""All CUDA C compiles for every architecture from Turing to Blackwell, without a device; a warning is an error."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import product

import pytest

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
SEARCH_NAMES = "WARPS_M", "WARPS_N", "LANES_N", "GROUPS_N", "DEPTH", "STAGES", "RESIDENT", "HELD", "LISTED"
SEARCH_SHAPES = (
    *((8, 1, 16, 2, 16, 3, 2, 1), (4, 1, 16, 2, 16, 3, 4, 1), (8, 1, 16, 2, 8, 3, 2, 1)),
    *((2, 4, 4, 2, 16, 3, 2, 0), (2, 4, 4, 2, 16, 2, 2, 0)),
)
"""Those that kernels/gpu/search.py chooses from."""
CUPY = ("-ftz=true", "--device-as-default-execution-space")
"""What CuPy adds to the options of any kernel."""


def compiler_problem() -> str | None:
    """Why the CUDA C can't be compiled here."""
    try:
        from cupy.cuda import nvrtc

        nvrtc.getVersion()
    except ImportError as error:
        return f"CuPy and NVRTC are needed to compile CUDA C: {str(error).splitlines()[0]}"
    return None


@pytest.fixture(autouse=True)
def _compiler() -> None:
    problem = compiler_problem()
    if problem is not None and os.environ.get("MILK_REQUIRE_GPU") == "1":
        pytest.fail(f"MILK_REQUIRE_GPU=1, but {problem}")
    if problem is not None:
        pytest.skip(problem)


def variants() -> Iterator[tuple[str, dict[str, str | int]]]:
    """Families with the definitions that they are compiled under."""
    for family in ("grouping", "places", "sampling", "search", "topk"):
        yield family, {}
    for shape, listed in product(SEARCH_SHAPES, (1, 8)):
        yield "search", dict(zip(SEARCH_NAMES, (*shape, listed), strict=True))
    for family in ("adam", "extract", "histories", "lists", "margins", "penalties", "risk"):
        for real, vec in (("float", 4), ("float", 2), ("float", 1), ("double", 2), ("double", 1)):
            for half in (0, 1) if family == "extract" else (0,):
                yield family, {"REAL": real, "VEC": vec} | ({"HALF": half} if family == "extract" else {})
    for vec in (4, 1):
        yield "prune", {"VEC": vec}
    for vec, kvec, half in product((4, 2, 1), (4, 1), (0, 1)):
        yield "products", {"VEC": vec, "KVEC": kvec, "HALF": half}
    for half in (0, 1):
        yield "content", {"HALF": half}


def compiled(family: str, architecture: int, **defines: str | int) -> tuple[bytes, str]:
    """Machine code of a family, and what the compiler said."""
    from cupy.cuda import nvrtc

    from milk_np.kernels.gpu import launch

    program = nvrtc.createProgram(launch.source(family), f"{family}.cu", (), ())
    options = launch.options(family, tuple(defines.items()))
    options = (*options, *CUPY, f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v")
    try:
        nvrtc.compileProgram(program, options)
        return nvrtc.getCUBIN(program), nvrtc.getProgramLog(program).strip("\0\n ")
    except nvrtc.NVRTCError as error:
        return b"", f"{error}\n{nvrtc.getProgramLog(program)}"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("family", sorted({family for family, _ in variants()}))
def test_compiles_without_a_warning_and_without_spills(family: str, architecture: int) -> None:
    for name, defines in variants():
        if name == family:
            code, said = compiled(family, architecture, **defines)
            assert [line for line in said.splitlines() if not line.startswith("ptxas ")] == [], f"{defines}"
            frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", said)
            assert set(frames) == {("0", "0", "0")}, f"{defines}: registers don't suffice\n{said}"
            assert code[:4] == b"\x7fELF"


def test_a_warning_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from milk_np.kernels.gpu import launch

    original = launch.source
    monkeypatch.setattr(launch, "source", lambda family: f"{original(family)}\n__device__ void f() {{ int unused; }}\n")
    assert "unused" in compiled("sampling", 90)[1]


def test_a_mistake_is_named_with_its_file_and_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from milk_np.kernels.gpu import launch

    lines = len((launch.FOLDER / "sampling.cu").read_text().splitlines())
    original = launch.source
    monkeypatch.setattr(launch, "source", lambda family: f"{original(family)}int f() {{ return nothing; }}\n")
    assert f"sampling.cu({lines + 1}): error" in compiled("sampling", 90)[1]
