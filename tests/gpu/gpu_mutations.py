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
    Mutation("tiles.cuh", "products: no barrier before a slice is multiplied",
        "        __syncthreads();\n        feed.ask(", "        feed.ask("),
    Mutation("products.cu", "products: rows are read before all are listed",
        "rows[r + j] : -1, d);\n    __syncthreads();", "rows[r + j] : -1, d);"),
    Mutation("products.cu", "products: a block's work is read before it is there",
        "span.set<true>(plan, all, unit, end);\n        __syncthreads();", "span.set<true>(plan, all, unit, end);"),
    Mutation("products.cu", "products: a span over that which other threads still work on",
        "        __syncthreads();\n        if (threadIdx.x == 0) span.set<false>",
        "        if (threadIdx.x == 0) span.set<false>"),
    Mutation("spans.cuh", "products: no barrier before the count of rows is read",
        "int(threadIdx.x) + 1);\n        __syncthreads();", "int(threadIdx.x) + 1);"),
    Mutation("products.cu", "db: no barrier before the threads' shares are added",
        "extra[k];\n    __syncthreads();", "extra[k];"),
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
    Mutation("search.cu", "no barrier before what others found is listed",
        "    else\n        __syncthreads();", ""),
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
    Mutation("half.cuh", "half precision: sign lost", "int(bits | sign)", "int(bits)"),
    Mutation("half.cuh", "half precision: subnormal numbers as if they were normal",
        "magnitude < 0x400u", "magnitude < 1u"),
    Mutation("extract.cu", "column sums: a warp's share lost",
        "for (int w = 1; w < 32; ++w)", "for (int w = 2; w < 32; ++w)"),
    Mutation("tiles.cuh", "products: the next slice over the present one",
        "settle(s + 1, slice[s & 1 ^ 1])", "settle(s + 1, slice[s & 1])"),
    Mutation("tiles.cuh", "products: the next slice copied over the present one",
        "ask(s + 1, slice[s & 1 ^ 1])", "ask(s + 1, slice[s & 1])"),
    Mutation("spans.cuh", "products: a group's first sum left out", "total[u] = each[u][0];", "total[u] = 0;"),
    Mutation("spans.cuh", "products: a level's tickets are those of the next too",
        "gap *= FAN, ticket += 2 * gridDim.x)", "gap *= FAN)"),
    Mutation("spans.cuh", "products: a group's sum in another's place",
        "add_to_first(group, part + (i64)span.place(head)", "add_to_first(group, part + (i64)span.place(span.piece)"),
    Mutation("spans.cuh", "products: a block's two sums in one place", "(which == 0 && inside)", "0"),
    Mutation("spans.cuh", "products: a row too few is counted", "min(step - 1, length", "min(step - 2, length"),
    Mutation("spans.cuh", "products: a span takes a unit of the next", "from + end - unit)", "from + end - unit + 1)"),
    Mutation("spans.cuh", "products: a modality's first unit is the one before's last",
        "if (rest < tiles", "if (rest <= tiles"),
    Mutation("rows.cuh", "products: copies beyond the row's end", "there ? *rein", "true ? *rein"),
    Mutation("tiles.cuh", "products: a result beyond the last column", "if (k + q < K)", "if (k + q <= K)"),
    Mutation("rows.cuh", "products: numbers beyond the row's end", "if (q < left) part", "part"),
    Mutation("rows.cuh", "products: half precision: filled rows as long as raw ones",
        "(origin < 0 ? sizeof(float) : sizeof(Raw))", "sizeof(Raw)"),
    Mutation("rows.cuh", "products: half precision: second of a pair as the first",
        "from.bits[k / 2] >> k % 2 * 16", "from.bits[k / 2]"),
    Mutation("rows.cuh", "products: filled row of another number",
        "(origin < 0 ? ~origin : origin)", "(origin < 0 ? -origin : origin)"),
    Mutation("products.cu", "c: scale of the row forgotten", "list[row].scale * sum[j]", "sum[j]"),
    Mutation("products.cu", "dW: scale of the row forgotten", "scale * grad[i][k]", "grad[i][k]"),
    Mutation("products.cu", "db: scaled", "extra.v[k] += grad[i][k];", "extra.v[k] += scaled.v[k];"),
    Mutation("products.cu", "dW: the second list with the first one's gradients",
        "((i64)s * DEPTH + t / 16)", "((i64)span.from * DEPTH + t / 16)"),
    Mutation("products.cu", "dW: gradients of rows of nobody count",
        ".origin == NOBODY ? 0 : columns", ".origin == NOBODY ? columns : columns"),
    Mutation("products.cu", "rows of nobody: no bias in the first",
        "(i64)real * K + blockIdx.x", "(i64)(real + 1) * K + blockIdx.x"),
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
    Mutation("search.cu", "what fills up the last panel is listed", "N - tile * TILE_N < TILE_N", "false"),
    Mutation("search.cu", "one item too many is struck out", "+ j % 4 >= there", "+ j % 4 + 1 >= there"),
    Mutation("search.cu", "packing: the last elements lost", "first + x < K ?", "first + x + 1 < K ?"),
    Mutation("panels.cuh", "queries' slices run out of step", "slice + 1 == slices ? 0", "slice == slices ? 0"),
    Mutation("search.cu", "excluded items are listed", " && !excluded.contains(int(some))", ""),
    Mutation("search.cu", "a short list sets a limit", "if (worst) found", "if (true) found"),
    Mutation("search.cu", "the limit is one place too high", "key_at(list, k - 1)", "key_at(list, max(k - 2, 0))"),
    Mutation("search.cu", "what is listed still waits",
        "            found.next[m] = found.empty(m);\n            if", "            if"),
    Mutation("search.cu", "lists of the block's unit before",
        "        found.list(at / (32 * LISTED))[at % (32 * LISTED)] = 0;", "        ;"),
    Mutation("search.cu", "items before are forgotten", "    write(list, best + q * k, k);\n", ""),
    Mutation("lists.cuh", "lists of the last lane's keys", "32 * (LISTED - e) - 1 -", "32 * (LISTED - e) - 2 -"),
    Mutation("lists.cuh", "long lists: half of the order", "gap = LISTED / 2; gap;", "gap = LISTED / 4; gap;"),
    Mutation("lists.cuh", "what waits is in no order",
        "max(list[LISTED - 1], ascending(key))", "max(list[LISTED - 1], key)"),
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
