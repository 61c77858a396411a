"""Other kinds of processors than this one, as far as OpenBLAS, Numba and NumPy can be told to take it for them.

`python tests/processors.py KIND COMMAND ...` runs a command as on such a processor, or says why this one can't.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass

from milk_np.machine.processor import cpu_flags


@dataclass(frozen=True)
class Kind:
    """A kind of processors.

    Attributes
    ----------
    core : str
        OpenBLAS's name of it. Numba's is the key of KINDS.
    needs : flags of /proc/cpuinfo without which its instructions are illegal
    lacks : beginnings of NumPy's names of what it can't do
    """

    core: str
    needs: frozenset[str]
    lacks: tuple[str, ...] = ()


_AVX = frozenset(("avx", "aes", "pclmulqdq", "popcnt", "sse4_2", "cx16"))
_AVX2 = _AVX | {"avx2", "fma", "f16c", "bmi1", "bmi2", "abm", "movbe"}
_AVX512 = _AVX2 | {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
KINDS = {
    "sandybridge": Kind("Sandybridge", _AVX, ("X86_V3", "X86_V4", "AVX2", "FMA3", "F16C", "AVX512")),
    "haswell": Kind("Haswell", _AVX2, ("X86_V4", "AVX512")),
    "znver3": Kind("Zen", _AVX2 | {"sse4a", "adx", "sha_ni", "vaes", "clzero"}, ("X86_V4", "AVX512")),
    "skylake-avx512": Kind("SkylakeX", _AVX512 | {"adx", "clwb"}, ("AVX512_ICL", "AVX512_SPR")),
}


def unfit(name: str, machine: str = "", flags: set[str] | None = None) -> str:
    """Why this processor can't be taken for a `name`; "" if it can."""
    machine = machine or platform.machine()
    if machine not in ("x86_64", "AMD64"):
        return f"the processor is {machine}, {name} is x86_64"
    absent = KINDS[name].needs - (cpu_flags() if flags is None else flags)
    return f"the processor lacks {', '.join(sorted(absent))}, which {name} has" if absent else ""


def variables(name: str) -> dict[str, str]:
    """What the environment of a process has to say that starts as on a `name`."""
    kind = KINDS[name]
    numba = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ""}  # none on top of what LLVM knows of the name
    return {"OPENBLAS_CORETYPE": kind.core, **numba, "NPY_DISABLE_CPU_FEATURES": " ".join(_found(kind.lacks))}


def _found(lacks: tuple[str, ...]) -> list[str]:
    """The features NumPy would use here whose names begin so: it warns of those that the processor lacks anyway."""
    import numpy as np

    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    disabled = os.environ.get("NPY_DISABLE_CPU_FEATURES", "").split()
    return sorted(name for name in {*found, *disabled} if name.startswith(lacks))


def main(argv: list[str]) -> int:
    """Replaces the process by the command."""
    name, *command = argv
    reason = unfit(name)
    if reason:
        print(f"skipped: {reason}")
        return 0
    print(f"as on a {name}: {' '.join(f'{key}={value!r}' for key, value in variables(name).items())}", flush=True)
    os.execvpe(command[0], command, {**os.environ, **variables(name)})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
