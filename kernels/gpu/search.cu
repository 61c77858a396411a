// The best k items of each query without a table of scores (contract: reference/topk.py): products in registers, and
// what beats a query's limit waits in its buffer. What waits joins the query's sorted list, which raises the limit.
//
// Both tables are packed first: panels of TILE_M queries or TILE_N items, transposed, filled up with zeros to whole
// panels and slices of DEPTH. A block takes a panel of queries over a span of item panels, in ascending order, so that
// a later item that only ties with a query's k-th best can't be listed: "above the limit" is exact.
#include "common.cuh"

#ifndef WARPS_M
#define WARPS_M 8   // warps along the queries of a tile
#define WARPS_N 1   // and along its items; with one, a warp lists its own queries and waits for no other
#define LANES_N 16  // lanes of a warp along the items
#define GROUPS_N 2  // four neighbouring items each that a thread has scores of; of queries it has two such groups
#define DEPTH 16    // elements of the vectors in a slice
#define STAGES 3    // slices in shared memory: one is multiplied, the others are on their way
#define RESIDENT 2  // blocks that a multiprocessor holds
#define HELD 1      // 1: a panel of queries stays in shared memory, 0: its slices come with those of the items
#define LISTED 1    // 32 keys of a list that each lane holds
#endif
#define GROUPS_M 2
#if __CUDA_ARCH__ >= 1000  // registers don't suffice for more there
#define UNROLLED 8
#else
#define UNROLLED 16
#endif
#include "keys.cuh"
#include "lists.cuh"
#include "panels.cuh"
#define OWN (TILE_M / (WARPS_M * WARPS_N))  // queries whose lists a warp keeps
#define ROOM (64 * LISTED + TILE_N)         // keys of a query: its list, what may wait, and one tile's items

// Packed panels of a table (rows, K), K filled up to `depth`. A block packs 32 x 32 numbers.
extern "C" __global__ void __launch_bounds__(256)
pack(const float* __restrict__ table, i64 rows, int K, int panel, int depth, float* out) {
    __shared__ float tile[32][33];
    const int x = threadIdx.x % 32, y = threadIdx.x / 32, first = blockIdx.y * 32;
    const i64 row = (i64)blockIdx.x * 32;
    for (int r = y; r < 32; r += 8)
        tile[r][x] = row + r < rows && first + x < K ? table[(row + r) * K + first + x] : 0.0f;
    __syncthreads();
    const i64 start = row / panel * depth * panel + row % panel;
    for (int d = y; d < 32; d += 8)
        if (first + d < depth) out[start + (i64)(first + d) * panel + x] = tile[x][d];
}

// Items that a query must not get: exclude[low ... high - 1], ascending.
struct Excluded {
    const int* exclude;
    i64 low, high;

    __device__ __forceinline__ bool contains(int item) const {
        i64 from = low, to = high;
        while (from < to) {
            const i64 middle = (from + to) >> 1;
            if (exclude[middle] < item)
                from = middle + 1;
            else
                to = middle;
        }
        return from < high && exclude[from] == item;
    }
};

// What a panel's queries have found: ROOM keys each in `key`, a list and behind it what waits, as it came. `limit` and
// `next`, the place in `key` of what comes next, are shared memory.
struct Found {
    u64* key;
    int start;
    float* limit;
    int* next;

    __device__ __forceinline__ u64* list(int m) const {
        return key + (start + m * ROOM);
    }

    __device__ __forceinline__ int empty(int m) const {
        return start + m * ROOM + 32 * LISTED;
    }
};

// A barrier of those who find and list for the same queries.
__device__ __forceinline__ void meet() {
    if (WARPS_N == 1)
        __syncwarp();
    else
        __syncthreads();
}

// Items of the last tile that there aren't: no score of theirs is above a limit.
__device__ __forceinline__ void strike_out(Place place, int there, Sums& sum) {
#pragma unroll
    for (int j = 0; j < GROUPS_N * 4; ++j)
        if (place.n + j / 4 * STRIDE_N * 4 + j % 4 >= there)
#pragma unroll
            for (int i = 0; i < GROUPS_M * 4; ++i)
                sum[i][j] = minus_infinity();
}

// Scores of a tile that are above their query's limit wait in its buffer. Few are, so that those that a thread has of a
// query are mostly passed over together.
__device__ __forceinline__ void offer(const Found& found, Place place, const Sums& sum, i64 first) {
#pragma unroll
    for (int i = 0; i < GROUPS_M * 4; ++i) {
        const int m = place.m + i / 4 * STRIDE_M * 4 + i % 4;
        const float limit = found.limit[m];
        float most[GROUPS_N];
#pragma unroll
        for (int g = 0; g < GROUPS_N; ++g) {
            const float* four = sum[i] + 4 * g;
            most[g] = fmaxf(fmaxf(four[0], four[1]), fmaxf(four[2], four[3]));
        }
        float best = most[0];
#pragma unroll
        for (int g = 1; g < GROUPS_N; ++g)
            best = fmaxf(best, most[g]);
        if (!(best > limit)) continue;
#pragma unroll
        for (int g = 0; g < GROUPS_N; ++g)
            if (most[g] > limit)
#pragma unroll
                for (int j = 0; j < 4; ++j)
                    if (sum[i][4 * g + j] > limit)
                        found.key[unsigned(atomicAdd(&found.next[m], 1))] =
                            (u64)__float_as_uint(sum[i][4 * g + j]) << 32 |
                            (unsigned(first) + place.n + g * STRIDE_N * 4 + j);
    }
}

// By one warp: what waits for query m, less the excluded, joins its list.
__device__ __forceinline__ void join_waiting(List& list, const Found& found, int m, Excluded excluded) {
    read(list, found.list(m), 32 * LISTED);
    for (int at = found.empty(m), end = found.next[m]; at < end; at += 32) {
        const int lane = threadIdx.x % 32;
        const u64 some = at + lane < end ? found.key[at + lane] : 0;
        const bool wanted = at + lane < end && !excluded.contains(int(some));
        join(list, wanted ? key_above(__int_as_float(int(some >> 32)), unsigned(some)) : 0);
    }
}

// Each warp sees to those of its queries for which more than `most` scores wait.
__device__ __forceinline__ void update(const Found& found, const i64* indptr, const int* exclude, int k, int most) {
    const int lane = threadIdx.x % 32, mine = threadIdx.x / 32 * OWN, its = mine + min(lane, OWN - 1);
    unsigned full = __ballot_sync(ALL, lane < OWN && found.next[its] - found.empty(its) > most);
    for (; full; full &= full - 1) {
        const int m = mine + __ffs(full) - 1;
        List list;
        join_waiting(list, found, m, {exclude, indptr[m], indptr[m + 1]});
        write(list, found.list(m), 32 * LISTED);
        const u64 worst = key_at(list, k - 1);
        __syncwarp();  // all have read what lane 0 changes
        if (lane == 0) {
            found.next[m] = found.empty(m);
            if (worst) found.limit[m] = score_of(worst);
        }
    }
    __syncwarp();
}

// The k best of each query of the panel, sorted, then zeros.
__device__ __forceinline__ void finish(const Found& found, const i64* indptr, const int* exclude, int k, int rows,
                                       u64* to) {
    const int mine = threadIdx.x / 32 * OWN;
    for (int m = mine; m < min(mine + OWN, rows); ++m) {
        List list;
        join_waiting(list, found, m, {exclude, indptr[m], indptr[m + 1]});
        write(list, to + (i64)m * k, k);
    }
}

// Empty lists. What earlier items left as a query's best, sorted, is its first limit.
__device__ __forceinline__ void begin(const Found& found, const u64* best, int k, int rows) {
    for (int m = threadIdx.x; m < TILE_M; m += THREADS) {
        const u64 last = best && m < rows ? best[(i64)m * k + k - 1] : 0;
        found.next[m] = found.empty(m);
        found.limit[m] = m >= rows ? __int_as_float(0x7f800000) : last ? score_of(last) : minus_infinity();
    }
    for (int at = threadIdx.x; at < TILE_M * 32 * LISTED; at += THREADS)
        found.list(at / (32 * LISTED))[at % (32 * LISTED)] = 0;
}

// What a block works on: queries row ... row + rows - 1, tiles of items start ... end - 1. It lies in shared memory, for
// registers are scarce.
struct Unit {
    int row, rows, split, start, end;

    __device__ __forceinline__ void set(int unit, int splits, int Q, int tiles) {
        split = unit % splits;
        row = unit / splits * TILE_M;
        rows = min(TILE_M, Q - row);
        start = int((i64)tiles * split / splits);
        end = int((i64)tiles * (split + 1) / splits);
    }
};

// lists (1 + splits, Q, k): list 0 is what items before `first` gave, if there are any, and the others become the best
// of the `splits` spans of N items. `keys` has room for a panel of queries for each block; `most` keys may wait.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
search(const float4* __restrict__ queries, const float4* __restrict__ items, int Q, i64 first, int N, int slices,
       int splits, int k, int most, const i64* __restrict__ indptr, const int* __restrict__ exclude, u64* keys,
       u64* lists) {
    extern __shared__ float4 stages[];
    __shared__ float limit[TILE_M];
    __shared__ int next[TILE_M];
    __shared__ Unit unit;
    const Found found = {keys, int(blockIdx.x) * TILE_M * ROOM, limit, next};
    const Place place;
    for (int at = blockIdx.x; at < (Q + TILE_M - 1) / TILE_M * splits; at += gridDim.x) {
        if (threadIdx.x == 0) unit.set(at, splits, Q, (N + TILE_N - 1) / TILE_N);
        __syncthreads();
        begin(found, first ? lists + (i64)unit.row * k : nullptr, k, unit.rows);
        __syncthreads();
        Feed feed = {queries + (i64)unit.row * slices * (DEPTH / 4) + threadIdx.x,
                     items + (i64)unit.start * slices * SLICE_N + threadIdx.x, slices, 0};
        for (int slice = 0; HELD && slice < slices; ++slice)
            copy_share<SLICE_M>(stages + STAGES * STAGE + slice * SLICE_M + threadIdx.x, feed.query + slice * SLICE_M);
        for (int ahead = 0; ahead < STAGES - 1; ++ahead)
            feed.next(stages + ahead * STAGE + threadIdx.x);
        int before = (STAGES - 1) * STAGE, stage = 0;
        for (int tile = unit.start; tile < unit.end; ++tile) {
            Sums sum = {};
            for (int slice = 0; slice < slices; ++slice) {
                await_slice();
                __syncthreads();
                feed.next(stages + before + threadIdx.x);
                const int query = HELD ? STAGES * STAGE + slice * SLICE_M : stage + SLICE_N;
                multiply(stages + query + place.m / 4, stages + stage + place.n / 4, sum);
                before = stage;
                stage = following(stage);
            }
            if (N - tile * TILE_N < TILE_N) strike_out(place, N - tile * TILE_N, sum);
            offer(found, place, sum, first + (i64)tile * TILE_N);
            meet();
            if (tile + 1 < unit.end) update(found, indptr + unit.row, exclude, k, most);
        }
        u64* list = lists + ((i64)(unit.split + 1) * Q + unit.row) * k;
        finish(found, indptr + unit.row, exclude, k, unit.rows, list);
        await_all();
        __syncthreads();
    }
}

// The best keys of `count` sorted lists of each query, sorted, into `best` (Q, k), and what they stand for; a warp a
// query.
extern "C" __global__ void __launch_bounds__(256)
merge_lists(const u64* lists, int Q, int count, int k, u64* best, int* index, float* score) {
    const i64 q = (i64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (q >= Q) return;
    List list;
    read(list, lists + q * k, k);
    for (int each = 1; each < count; ++each)
        join_list(list, lists + ((i64)each * Q + q) * k, k);
    write(list, best + q * k, k);
#pragma unroll
    for (int e = 0; e < LISTED; ++e) {
        const int at = 32 * e + threadIdx.x % 32;
        if (at >= k) break;
        index[q * k + at] = list[e] ? int(0xffffffffu - unsigned(list[e])) : -1;
        score[q * k + at] = list[e] ? score_of(list[e]) : minus_infinity();
    }
}
