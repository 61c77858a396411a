"""Errors in the CUDA C, and the tests that have to catch them: barriers, indices, rows of nobody.

`MILK_GPU_PYTHON="COMMAND" python tests/gpu_mutations.py [WORD ...]` plants those whose name or file holds a WORD, all
by default, one at a time, in a copy of the package; COMMAND runs Python with CuPy on a device or an emulator of one
(default: python). An error that no test catches makes it end with exit code 1.
"""

from __future__ import annotations

import os
import shlex
import sys

from planting import Mutation, Proof, run

TESTS = ("kernels", "extract", "topk", "search", "budget", "objective", "training")


def _cuda(file: str, name: str, old: str, new: str) -> Mutation:
    return Mutation(name, f"kernels/gpu/{file}", old, new)


MUTATIONS = [
    # Barriers
    _cuda("grouping.cu", "no barrier between finding first places and reading them",
        "unsigned number\n    __syncthreads();", "unsigned number"),
    _cuda("grouping.cu", "no barrier between two stages of the sort",
        "                }\n            }\n            __syncthreads();", "                }\n            }"),
    _cuda("grouping.cu", "a barrier that half of the threads reach",
        "    if (lane == 31) parts[warp] = sum;\n    __syncthreads();",
        "    if (lane == 31) parts[warp] = sum;\n    if (warp < 16) __syncthreads();"),
    _cuda("common.cuh", "no barrier before the warps' sums are read",
        "parts[threadIdx.x / 32] = value;\n    __syncthreads();", "parts[threadIdx.x / 32] = value;"),
    _cuda("common.cuh", "no barrier between asking who is last and the answer",
        "*ticket = 0;\n    }\n    __syncthreads();", "*ticket = 0;\n    }"),
    _cuda("extract.cu", "column sums: no barrier", "    __syncthreads();\n    if (warp || k >= K) return;",
        "    if (warp || k >= K) return;"),
    _cuda("tiles.cuh", "products: no barrier before a slice is multiplied",
        "        __syncthreads();\n        feed.ask(", "        feed.ask("),
    _cuda("products.cu", "products: rows are read before all are listed",
        "rows[r + j] : -1, d);\n    __syncthreads();", "rows[r + j] : -1, d);"),
    _cuda("products.cu", "products: a block's work is read before it is there",
        "span.set<true>(plan, all, unit, end);\n        __syncthreads();", "span.set<true>(plan, all, unit, end);"),
    _cuda("products.cu", "products: a span over that which other threads still work on",
        "        __syncthreads();\n        if (threadIdx.x == 0) span.set<false>",
        "        if (threadIdx.x == 0) span.set<false>"),
    _cuda("spans.cuh", "products: no barrier before the count of rows is read",
        "int(threadIdx.x) + 1);\n        __syncthreads();", "int(threadIdx.x) + 1);"),
    _cuda("products.cu", "db: no barrier before the threads' shares are added",
        "extra[k];\n    __syncthreads();", "extra[k];"),
    _cuda("topk.cu", "scores: no barrier after a tile is fetched",
        "fetch(items, column, N, k, K, x);\n        __syncthreads();", "fetch(items, column, N, k, K, x);"),
    _cuda("topk.cu", "scores: no barrier before the next tile",
        "sum[a][b]);\n        __syncthreads();", "sum[a][b]);"),
    _cuda("topk.cu", "selection: no barrier before the waiting are counted",
        "= mine;\n        __syncthreads();", "= mine;"),
    _cuda("topk.cu", "selection: a barrier only for threads with an item",
        "= mine;\n        __syncthreads();", "= mine;\n        if (item < N) __syncthreads();"),
    _cuda("topk.cu", "selection: excluded items may be read before they are struck out",
        "    if (threadIdx.x == 0) *waiting = 0;\n    __syncthreads();\n    u64 worst",
        "    if (threadIdx.x == 0) *waiting = 0;\n    u64 worst"),
    _cuda("search.cu", "no barrier before a slice is multiplied",
        "await_slice();\n                __syncthreads();", "await_slice();"),
    _cuda("search.cu", "no barrier before what others found is listed",
        "    else\n        __syncthreads();", ""),
    _cuda("search.cu", "a warp leaves the slices early",
        "await_slice();\n                __syncthreads();",
        "await_slice();\n                if (threadIdx.x < 32 || slice == 0) __syncthreads();"),
    _cuda("adam.cu", "catching up: the warp parts before it agrees",
        "moving = __any_sync(0xffffffffu, moved);", "moving = moved ? __any_sync(0xffffffffu, moved) : false;"),
    # Indices
    _cuda("common.cuh", "sum over lanes leaves one half out", "gap = lanes >> 1", "gap = lanes >> 2"),
    _cuda("common.cuh", "last block: one block too early",
        "atomicAdd(ticket, 1u) + 1 ==", "atomicAdd(ticket, 1u) + 2 =="),
    _cuda("common.cuh", "last block: ticket not put back", "        if (*last) *ticket = 0;\n", ""),
    _cuda("grouping.cu", "slots beyond the last group not emptied",
        "empty <= slots; empty += THREADS", "empty < slots; empty += THREADS"),
    _cuda("grouping.cu", "table not put back", "            table[ids[t]] = -1;\n", ""),
    _cuda("grouping.cu", "no place before the first", "return at == 0 || ", "return at != 0 && "),
    _cuda("margins.cu", "negative item read at the positive's place", "slot[B + t]) * K;", "slot[t]) * K;"),
    _cuda("margins.cu", "users: last triplet of a segment left out",
        "at < start[s + 1]; ++at) {\n            const int t",
        "at + 1 < start[s + 1]; ++at) {\n            const int t"),
    _cuda("margins.cu", "items: modality and item swapped", "s = row / M, m = row % M", "s = row % n, m = row / n"),
    _cuda("margins.cu", "items: negative with the positive's sign", "g = place < B ? d : -d", "g = d"),
    _cuda("extract.cu", "rows of nobody not cleared", "if (row < 0) return clear(x, D);", "if (row < 0) return;"),
    _cuda("extract.cu", "staged rows read at the table's place", "(staged ? r : origin)", "origin"),
    _cuda("half.cuh", "half precision: sign lost", "int(bits | sign)", "int(bits)"),
    _cuda("half.cuh", "half precision: subnormal numbers as if they were normal",
        "magnitude < 0x400u", "magnitude < 1u"),
    _cuda("extract.cu", "column sums: a warp's share lost",
        "for (int w = 1; w < 32; ++w)", "for (int w = 2; w < 32; ++w)"),
    _cuda("tiles.cuh", "products: the next slice over the present one",
        "settle(s + 1, slice[s & 1 ^ 1])", "settle(s + 1, slice[s & 1])"),
    _cuda("tiles.cuh", "products: the next slice copied over the present one",
        "ask(s + 1, slice[s & 1 ^ 1])", "ask(s + 1, slice[s & 1])"),
    _cuda("spans.cuh", "products: a group's first sum left out", "total[u] = each[u][0];", "total[u] = 0;"),
    _cuda("spans.cuh", "products: a level's tickets are those of the next too",
        "gap *= FAN, ticket += 2 * gridDim.x)", "gap *= FAN)"),
    _cuda("spans.cuh", "products: a group's sum in another's place",
        "add_to_first(group, part + (i64)span.place(head)", "add_to_first(group, part + (i64)span.place(span.piece)"),
    _cuda("spans.cuh", "products: a block's two sums in one place", "(which == 0 && inside)", "0"),
    _cuda("spans.cuh", "products: a row too few is counted", "min(step - 1, length", "min(step - 2, length"),
    _cuda("spans.cuh", "products: a span takes a unit of the next", "from + end - unit)", "from + end - unit + 1)"),
    _cuda("spans.cuh", "products: a modality's first unit is the one before's last",
        "if (rest < tiles", "if (rest <= tiles"),
    _cuda("rows.cuh", "products: copies beyond the row's end", "there ? *rein", "true ? *rein"),
    _cuda("tiles.cuh", "products: a result beyond the last column", "if (k + q < K)", "if (k + q <= K)"),
    _cuda("rows.cuh", "products: numbers beyond the row's end", "if (q < left) part", "part"),
    _cuda("rows.cuh", "products: half precision: filled rows as long as raw ones",
        "(origin < 0 ? sizeof(float) : sizeof(Raw))", "sizeof(Raw)"),
    _cuda("rows.cuh", "products: half precision: second of a pair as the first",
        "from.bits[k / 2] >> k % 2 * 16", "from.bits[k / 2]"),
    _cuda("rows.cuh", "products: filled row of another number",
        "(origin < 0 ? ~origin : origin)", "(origin < 0 ? -origin : origin)"),
    _cuda("products.cu", "c: scale of the row forgotten", "list[row].scale * sum[j]", "sum[j]"),
    _cuda("products.cu", "dW: scale of the row forgotten", "scale * grad[i][k]", "grad[i][k]"),
    _cuda("products.cu", "db: scaled", "extra.v[k] += grad[i][k];", "extra.v[k] += scaled.v[k];"),
    _cuda("products.cu", "dW: the second list with the first one's gradients",
        "((i64)s * DEPTH + t / 16)", "((i64)span.from * DEPTH + t / 16)"),
    _cuda("products.cu", "dW: gradients of rows of nobody count",
        ".origin == NOBODY ? 0 : columns", ".origin == NOBODY ? columns : columns"),
    _cuda("products.cu", "rows of nobody: no bias in the first",
        "(i64)real * K + blockIdx.x", "(i64)(real + 1) * K + blockIdx.x"),
    _cuda("adam.cu", "a thread writes beyond the end", "if (at + VEC <= count) {", "if (at < count) {"),
    _cuda("adam.cu", "rows of nobody are moved", "rows[at] : -1;\n    if (row < 0) return;",
        "rows[at] : -1;\n    if (at >= n) return;"),
    _cuda("adam.cu", "catching up: first step taken twice", "seen[row] + 1;", "seen[row];"),
    _cuda("adam.cu", "catching up: only the first numbers of a row",
        "k < K; k += 32 * HELD)", "k < 32 * HELD; k += 32 * HELD)"),
    _cuda("adam.cu", "catching up: moments stop where the row does",
        "Real(last + 1 - t)), rest2", "Real(0)), rest2"),
    _cuda("risk.cu", "blocks beyond the first lost",
        "for (int b = 0; b < blocks; ++b)", "for (int b = 0; b < 1; ++b)"),
    _cuda("risk.cu", "weights of the first environment for all", "weight[e] * slope", "weight[0] * slope"),
    _cuda("penalties.cu", "a positive counted for each of its triplets", "atomicExch(&flag[slot[t]], 1) == 0",
        "atomicExch(&flag[slot[t]], 1) <= 1"),
    _cuda("penalties.cu", "flags not put back", "if (mine && lane == 0) flag[r] = 0;", ""),
    _cuda("penalties.cu", "counts not put back", "        count[pair] = 0;", "        ;"),
    _cuda("penalties.cu", "a lane puts the flag back too early",
        "    total = sum_block(total, shared);  // a barrier: every lane has read its row's flag\n"
        "    if (mine && lane == 0) flag[r] = 0;",
        "    if (mine && lane == 0) flag[r] = 0;\n    total = sum_block(total, shared);"),
    _cuda("penalties.cu", "rows of nobody are shrunk",
        "if (row < n_users && users[row] >= 0) {", "if (row < n_users) {"),
    _cuda("penalties.cu", "users' and items' rows overlap", "r = row - n_users;", "r = row - n_users + 1;"),
    _cuda("sampling.cu", "own items may be negatives", "return r + low;", "return r;"),
    _cuda("sampling.cu", "pool: own items may be negatives", "if (!contains(own, count, member)) return member;",
        "return member;"),
    _cuda("keys.cuh", "ties go to the later item", "(0xffffffffu - item)", "item"),
    _cuda("keys.cuh", "zeros of both signs differ", "__float_as_uint(score + 0.0f)", "__float_as_uint(score)"),
    _cuda("search.cu", "what fills up the last panel is listed", "N - tile * TILE_N < TILE_N", "false"),
    _cuda("search.cu", "one item too many is struck out", "+ j % 4 >= there", "+ j % 4 + 1 >= there"),
    _cuda("search.cu", "packing: the last elements lost", "first + x < K ?", "first + x + 1 < K ?"),
    _cuda("panels.cuh", "queries' slices run out of step", "slice + 1 == slices ? 0", "slice == slices ? 0"),
    _cuda("search.cu", "excluded items are listed", " && !excluded.contains(int(some))", ""),
    _cuda("search.cu", "a short list sets a limit", "if (worst) found", "if (true) found"),
    _cuda("search.cu", "the limit is one place too high", "key_at(list, k - 1)", "key_at(list, max(k - 2, 0))"),
    _cuda("search.cu", "what is listed still waits",
        "            found.next[m] = found.empty(m);\n            if", "            if"),
    _cuda("search.cu", "lists of the block's unit before",
        "        found.list(at / (32 * LISTED))[at % (32 * LISTED)] = 0;", "        ;"),
    _cuda("search.cu", "items before are forgotten", "    write(list, best + q * k, k);\n", ""),
    _cuda("lists.cuh", "lists of the last lane's keys", "32 * (LISTED - e) - 1 -", "32 * (LISTED - e) - 2 -"),
    _cuda("lists.cuh", "long lists: half of the order", "gap = LISTED / 2; gap;", "gap = LISTED / 4; gap;"),
    _cuda("lists.cuh", "what waits is in no order",
        "max(list[LISTED - 1], ascending(key))", "max(list[LISTED - 1], key)"),
    _cuda("topk.cu", "long lists: later turns begin anew", "        limit = key[KEPT - 1];\n", ""),
    _cuda("topk.cu", "selection: no room for what waits", "KEPT - THREADS) {", "KEPT) {"),
]  # fmt: skip


def proof() -> Proof:
    """The tests that have to catch any of them."""
    python = shlex.split(os.environ.get("MILK_GPU_PYTHON", sys.executable))
    return Proof(tuple(f"tests/gpu/test_gpu_{name}.py" for name in TESTS), tuple(python), {"MILK_REQUIRE_GPU": "1"})


if __name__ == "__main__":
    sys.exit(run(MUTATIONS, lambda mutation: proof(), sys.argv[1:]))
