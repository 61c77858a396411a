"""Plants an error in the CUDA C, one at a time, and shows which test catches it: barriers, indices, rows of nobody.

`MILK_GPU_PYTHON="COMMAND" python tests/gpu/gpu_mutations.py [WORD]` runs those whose name or file holds WORD, all by
default, in a copy of the package; COMMAND runs Python with CuPy on a device or an emulator of one (default: python).
An error that no test catches makes it end with exit code 1.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("kernels", "extract", "topk", "search", "budget", "objective", "training")


@dataclass(frozen=True)
class Mutation:
    """`old`, which stands exactly once in a file of kernels/gpu, becomes `new`."""

    file: str
    name: str
    old: str
    new: str


MUTATIONS = [
    # Barriers
    Mutation("grouping.cu", "no barrier between finding first places and reading them",
        "unsigned number\n    __syncthreads();", "unsigned number"),
    Mutation("grouping.cu", "no barrier between two stages of the sort",
        "                }\n            }\n            __syncthreads();", "                }\n            }"),
    Mutation("grouping.cu", "a barrier that half of the threads reach",
        "    if (lane == 31) parts[warp] = sum;\n    __syncthreads();",
        "    if (lane == 31) parts[warp] = sum;\n    if (warp < 16) __syncthreads();"),
    Mutation("common.cuh", "no barrier before the warps' sums are read",
        "parts[threadIdx.x / 32] = value;\n    __syncthreads();", "parts[threadIdx.x / 32] = value;"),
    Mutation("common.cuh", "no barrier between asking who is last and the answer",
        "*ticket = 0;\n    }\n    __syncthreads();", "*ticket = 0;\n    }"),
    Mutation("extract.cu", "column sums: no barrier", "    __syncthreads();\n    if (warp || k >= K) return;",
        "    if (warp || k >= K) return;"),
    Mutation("topk.cu", "scores: no barrier after a tile is fetched",
        "fetch(items, column, N, k, K, x);\n        __syncthreads();", "fetch(items, column, N, k, K, x);"),
    Mutation("topk.cu", "scores: no barrier before the next tile",
        "sum[a][b]);\n        __syncthreads();", "sum[a][b]);"),
    Mutation("topk.cu", "selection: no barrier before the waiting are counted",
        "= mine;\n        __syncthreads();", "= mine;"),
    Mutation("topk.cu", "selection: a barrier only for threads with an item",
        "= mine;\n        __syncthreads();", "= mine;\n        if (item < N) __syncthreads();"),
    Mutation("topk.cu", "selection: excluded items may be read before they are struck out",
        "    if (threadIdx.x == 0) *waiting = 0;\n    __syncthreads();\n    u64 worst",
        "    if (threadIdx.x == 0) *waiting = 0;\n    u64 worst"),
    Mutation("search.cu", "no barrier before a slice is multiplied",
        "await_slice();\n                __syncthreads();", "await_slice();"),
    Mutation("search.cu", "no barrier before buffers are cut",
        "first + N);\n            __syncthreads();", "first + N);"),
    Mutation("search.cu", "a warp leaves the slices early",
        "await_slice();\n                __syncthreads();",
        "await_slice();\n                if (threadIdx.x < 32 || slice == 0) __syncthreads();"),
    Mutation("adam.cu", "catching up: the warp parts before it agrees",
        "moving = __any_sync(0xffffffffu, moved);", "moving = moved ? __any_sync(0xffffffffu, moved) : false;"),
    # Indices
    Mutation("common.cuh", "sum over lanes leaves one half out", "gap = lanes >> 1", "gap = lanes >> 2"),
    Mutation("common.cuh", "last block: one block too early",
        "atomicAdd(ticket, 1u) + 1 ==", "atomicAdd(ticket, 1u) + 2 =="),
    Mutation("common.cuh", "last block: ticket not put back", "        if (*last) *ticket = 0;\n", ""),
    Mutation("grouping.cu", "slots beyond the last group not emptied",
        "empty <= slots; empty += THREADS", "empty < slots; empty += THREADS"),
    Mutation("grouping.cu", "table not put back", "            table[ids[t]] = -1;\n", ""),
    Mutation("grouping.cu", "no place before the first", "return at == 0 || ", "return at != 0 && "),
    Mutation("margins.cu", "negative item read at the positive's place", "slot[B + t]) * K;", "slot[t]) * K;"),
    Mutation("margins.cu", "users: last triplet of a segment left out",
        "at < start[s + 1]; ++at) {\n            const int t",
        "at + 1 < start[s + 1]; ++at) {\n            const int t"),
    Mutation("margins.cu", "items: modality and item swapped", "s = row / M, m = row % M", "s = row % n, m = row / n"),
    Mutation("margins.cu", "items: negative with the positive's sign", "g = place < B ? d : -d", "g = d"),
    Mutation("extract.cu", "rows of nobody not cleared", "if (row < 0) return clear(x, D);", "if (row < 0) return;"),
    Mutation("extract.cu", "staged rows read at the table's place", "(staged ? r : origin)", "origin"),
    Mutation("extract.cu", "half precision: sign lost", "int(bits | sign)", "int(bits)"),
    Mutation("extract.cu", "half precision: subnormal numbers as if they were normal",
        "magnitude < 0x400u", "magnitude < 1u"),
    Mutation("extract.cu", "column sums: a warp's share lost",
        "for (int w = 1; w < 32; ++w)", "for (int w = 2; w < 32; ++w)"),
    Mutation("adam.cu", "a thread writes beyond the end", "if (at + VEC <= count) {", "if (at < count) {"),
    Mutation("adam.cu", "rows of nobody are moved", "rows[at] : -1;\n    if (row < 0) return;",
        "rows[at] : -1;\n    if (at >= n) return;"),
    Mutation("adam.cu", "catching up: first step taken twice", "seen[row] + 1;", "seen[row];"),
    Mutation("adam.cu", "catching up: only the first numbers of a row",
        "k < K; k += 32 * HELD)", "k < 32 * HELD; k += 32 * HELD)"),
    Mutation("adam.cu", "catching up: moments stop where the row does",
        "Real(last + 1 - t)), rest2", "Real(0)), rest2"),
    Mutation("risk.cu", "blocks beyond the first lost",
        "for (int b = 0; b < blocks; ++b)", "for (int b = 0; b < 1; ++b)"),
    Mutation("risk.cu", "weights of the first environment for all", "weight[e] * slope", "weight[0] * slope"),
    Mutation("penalties.cu", "a positive counted for each of its triplets", "atomicExch(&flag[slot[t]], 1) == 0",
        "atomicExch(&flag[slot[t]], 1) <= 1"),
    Mutation("penalties.cu", "flags not put back", "if (mine && lane == 0) flag[r] = 0;", ""),
    Mutation("penalties.cu", "counts not put back", "        count[pair] = 0;", "        ;"),
    Mutation("penalties.cu", "a lane puts the flag back too early",
        "    total = sum_block(total, shared);  // a barrier: every lane has read its row's flag\n"
        "    if (mine && lane == 0) flag[r] = 0;",
        "    if (mine && lane == 0) flag[r] = 0;\n    total = sum_block(total, shared);"),
    Mutation("penalties.cu", "rows of nobody are shrunk",
        "if (row < n_users && users[row] >= 0) {", "if (row < n_users) {"),
    Mutation("penalties.cu", "users' and items' rows overlap", "r = row - n_users;", "r = row - n_users + 1;"),
    Mutation("sampling.cu", "own items may be negatives", "return r + low;", "return r;"),
    Mutation("sampling.cu", "pool: own items may be negatives", "if (!contains(own, count, member)) return member;",
        "return member;"),
    Mutation("keys.cuh", "ties go to the later item", "(0xffffffffu - item)", "item"),
    Mutation("keys.cuh", "zeros of both signs differ", "__float_as_uint(score + 0.0f)", "__float_as_uint(score)"),
    Mutation("search.cu", "what fills up the last panel is listed", " && item < end)", ")"),
    Mutation("search.cu", "packing: the last elements lost", "first + x < K ?", "first + x + 1 < K ?"),
    Mutation("search.cu", "queries' slices run out of step", "slice + 1 == slices ? 0", "slice == slices ? 0"),
    Mutation("search.cu", "excluded items join after the first cut", "at >= sure && excluded", "sure == 0 && excluded"),
    Mutation("search.cu", "what excluded items left is taken for a limit", "if (kept == k) found", "if (kept) found"),
    Mutation("search.cu", "a cut among ties keeps any items", "if (count >= k) floor |= bit;", ""),
    Mutation("search.cu", "a list's end not cleared", "            to[at] = 0;\n", "            ;\n"),
    Mutation("search.cu", "items before are forgotten", "        best[q * k + at] = key[at];\n", ""),
    Mutation("topk.cu", "long lists: later turns begin anew", "        limit = key[KEPT - 1];\n", ""),
    Mutation("topk.cu", "selection: no room for what waits", "KEPT - THREADS) {", "KEPT) {"),
]  # fmt: skip


def build(folder: Path, mutation: Mutation | None) -> None:
    """A copy of the package with the error in it, if there is one."""
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "milk_np", folder / "milk_np", ignore=unwanted)
    shutil.copytree(ROOT / "kernels", folder / "milk_np" / "kernels", ignore=unwanted)
    if mutation is None:
        return
    path = folder / "milk_np" / "kernels" / "gpu" / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise SystemExit(f"{mutation.file}: {mutation.old!r} stands there {text.count(mutation.old)} times, not once")
    path.write_text(text.replace(mutation.old, mutation.new))


def caught_by(folder: Path) -> str:
    """The first test that fails on the copy in `folder`, and how; or nothing."""
    python = shlex.split(os.environ.get("MILK_GPU_PYTHON", sys.executable))
    tests = [str(ROOT / f"tests/gpu/test_gpu_{name}.py") for name in TESTS]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "MILK_REQUIRE_GPU": "1"}
    done = subprocess.run(
        [*python, "-m", "pytest", *options, *tests],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    barrier = re.search(r"barrier divergence, line \d+", done.stderr + done.stdout)
    crash = f"exit code {done.returncode}" if done.returncode < 0 else ""
    test = found.group(1).rpartition("/")[2] if found else ""
    return " ".join(filter(None, (test, barrier.group(0) if barrier else "", crash)))


def try_out(mutation: Mutation | None) -> str:
    """What catches the error in a copy of the package."""
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), mutation)
        return caught_by(Path(folder))


def main(word: str = "") -> int:
    """Run the mutations and print a Markdown table."""
    if found := try_out(None):
        raise SystemExit(f"the tests fail without any error planted: {found}")
    print("| planted error | in | caught by |\n|---|---|---|")
    missed = 0
    for mutation in MUTATIONS:
        if word in mutation.name + mutation.file:
            test = try_out(mutation)
            missed += not test
            print(f"| {mutation.name} | {mutation.file} | {test or '**nothing**'} |", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
