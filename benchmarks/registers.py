"""Registers and shared memory of every CUDA kernel by architecture, as the compiler reports them: a Markdown table.

`python benchmarks/registers.py` needs CuPy and NVRTC, but no GPU. Single precision, 16 bytes an access.
"""

from __future__ import annotations

import re
import sys

from cupy.cuda import nvrtc

from milk_np.kernels.gpu import launch

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
PLAIN = ("sampling", "grouping", "search", "topk", "places")
TYPED = ("extract", "products", "margins", "risk", "penalties", "adam", "histories", "prune")
ENTRY = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers(?:[^\n]*?(\d+) bytes smem)?",
    re.DOTALL,
)
DYNAMIC = {"group_shared": "4 bytes an id", "search": "24576 + 512 a number of a vector", "list_bounded": "4 a number"}
"""Shared memory that is asked for at launch."""


def report(family: str, architecture: int) -> dict[str, tuple[int, int, int]]:
    """Registers, bytes of shared memory, and bytes spilled or on the stack of each kernel of a family."""
    defines = (("REAL", "float"), ("VEC", 4), ("KVEC", 4)) if family in TYPED else ()
    program = nvrtc.createProgram(launch.source(family), f"{family}.cu", (), ())
    options = (*launch.options(family, defines), f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v")
    nvrtc.compileProgram(program, options)
    found = ENTRY.findall(nvrtc.getProgramLog(program))
    return {
        name: (int(used), int(shared or 0), int(frame) + int(stores) + int(loads))
        for name, frame, stores, loads, used, shared in found
    }


def main() -> int:
    """Print the table; 1 if a kernel spills."""
    heads = [f"sm_{architecture}" for architecture in ARCHITECTURES]
    print("| kernel | " + " | ".join(heads) + " | shared memory, bytes |\n|---|" + "---|" * (len(heads) + 1))
    spilled = 0
    for family in (*PLAIN, *TYPED):
        by_architecture = [report(family, architecture) for architecture in ARCHITECTURES]
        for name in sorted(by_architecture[0]):
            each = [reports[name] for reports in by_architecture]
            spilled += sum(bytes_ for _, _, bytes_ in each)
            shared = " + ".join([str(max(bytes_ for _, bytes_, _ in each)), *filter(None, [DYNAMIC.get(name)])])
            print(f"| {name} | " + " | ".join(str(registers) for registers, _, _ in each) + f" | {shared} |")
    print(f"\nSpilled to local memory: {spilled} bytes.")
    return int(spilled > 0)


if __name__ == "__main__":
    sys.exit(main())
