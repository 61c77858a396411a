"""Instruction sets: hold every program of a comparison to one, by the variables that each library reads.

`native` is what the processor has, `avx2` what most processors have: a machine with AVX-512 runs the same programs as
one without. `ran.py` checks what they really did.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from milk_np.machine.processor import cpu_flags

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # where other kinds of processors are described

import processors

ISAS = ("native", "avx2")
KINDS = ("znver3", "haswell")  # processors with AVX2 and no more, the better one for Numba's code first
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own kernels, its libraries, and what it has the compiler make
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "TORCHINDUCTOR_CPP_MARCH": "haswell",
    # YNNPACK, which XLA has for products, takes what it finds whatever the limit says: without it XLA has Eigen.
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2 --xla_cpu_experimental_ynn_fusion_type=",
    "FAISS_SIMD_LEVEL": "AVX2",  # from 1.14 on; before, a loader read the next
    "FAISS_OPT_LEVEL": "avx2",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW",  # copies of memory
}
# Whatever makes a library take the processor for another kind; `native` is measured without any of it.
CHOOSING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NPY_DISABLE_CPU_FEATURES")


def unfit(isa: str) -> str:
    """Why this processor can't be held to `isa`; "" if it can."""
    return "" if isa == "native" else processors.unfit(KINDS[-1])


def kind() -> str:
    """The processor that `avx2` makes of this one: Numba's name of it."""
    return next(name for name in KINDS if not processors.unfit(name))


def variables(isa: str) -> dict[str, str | None]:
    """What the environment has to say for `isa`; None removes a variable."""
    none: dict[str, str | None] = dict.fromkeys((*CHOOSING, *AVX2))
    return none if isa == "native" else none | AVX2 | processors.variables(kind())


def hold(isa: str) -> None:
    """Hold this process's children to `isa`."""
    for name, value in variables(isa).items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def flags(isa: str) -> set[str]:
    """What the processor can do, under `isa`, by Linux's names."""
    return {flag for flag in cpu_flags() if isa == "native" or not flag.startswith("avx512")}
