// The best k items of each query without a table of scores (contract: reference/topk.py): products in registers, and
// what beats a query's limit waits in its buffer. A full buffer is cut to its best k, which raises the limit.
//
// Both tables are packed first: panels of TILE_M queries or TILE_N items, transposed, filled up with zeros to whole
// panels and slices of DEPTH. A block takes a panel of queries over a span of item panels, in ascending order, so that
// a later item that only ties with a query's k-th best can't be listed: "above the limit" is exact.
#include "common.cuh"
#include "keys.cuh"

#ifndef WARPS_M
#define WARPS_M 2    // warps along the queries of a tile
#define WARPS_N 4    // and along its items
#define GROUPS_N 2   // four neighbouring items each that a thread has scores of; of queries it has two such groups
#define DEPTH 16     // elements of the vectors in a slice
#define STAGES 2     // slices in shared memory: one is multiplied, the others are on their way
#define RESIDENT 2   // blocks that a multiprocessor holds
#define ROOM 224     // candidates in a query's buffer: what may wait before a cut, and one tile's items
#endif
#define GROUPS_M 2
#define WARPS (WARPS_M * WARPS_N)
#define THREADS (32 * WARPS)
#define TILE_M (WARPS_M * GROUPS_M * 32)
#define TILE_N (WARPS_N * GROUPS_N * 16)
#define STAGE (DEPTH * (TILE_M + TILE_N) / 4)  // float4
#define OWN (TILE_M / WARPS)                   // queries whose buffers a warp cuts
#define ALL 0xffffffffu
#define MERGED 2048  // most keys that are merged for a query

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

// 16 bytes to shared memory, without a stop at the registers where the architecture can do so.
__device__ __forceinline__ void copy(float4* to, const float4* from) {
#if __CUDA_ARCH__ >= 800
    const unsigned at = unsigned(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
#else
    *to = *from;
#endif
}

__device__ __forceinline__ void close_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Wait for the oldest slice under way. What other threads copied is there after a barrier.
__device__ __forceinline__ void await_slice() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
#endif
}

// Wait for all, also for what nobody will use.
__device__ __forceinline__ void await_all() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// The slices of a block's tiles in turn: the queries' panel again and again, the items' panels one after the other. It
// runs ahead, and beyond the last tile at the end: items are followed by room for that.
struct Feed {
    const float4 *query, *item;
    int slices, slice;

    __device__ __forceinline__ void next(float4* stage) {
        const float4* from = query + slice * (DEPTH * TILE_M / 4);
#pragma unroll
        for (int at = 0; at < DEPTH * TILE_M / 4; at += THREADS)
            copy(stage + at, from + at);
#pragma unroll
        for (int at = 0; at < DEPTH * TILE_N / 4; at += THREADS)
            copy(stage + DEPTH * TILE_M / 4 + at, item + at);
        close_copies();
        item += DEPTH * TILE_N / 4;
        slice = slice + 1 == slices ? 0 : slice + 1;
    }
};

__device__ __forceinline__ int following(int stage) {
    return stage == (STAGES - 1) * STAGE ? 0 : stage + STAGE;
}

// Which 4 x 4 groups of a tile are this thread's. Neighbouring lanes share queries or items, so that their reads of
// shared memory are one.
struct Place {
    int m, n;
    __device__ __forceinline__ Place() {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        m = warp % WARPS_M * (GROUPS_M * 32) + (lane >> 1 & 7) * 4;
        n = warp / WARPS_M * (GROUPS_N * 16) + (lane >> 4 << 1 | (lane & 1)) * 4;
    }
};

__device__ __forceinline__ void unpack(float4 four, float* to) {
    to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
}

typedef float Sums[GROUPS_M * 4][GROUPS_N * 4];

// One slice's share of a tile's scores: each is one chain of multiply-adds in the order of K.
__device__ __forceinline__ void multiply(const float4* query, const float4* item, Sums& sum) {
#pragma unroll
    for (int d = 0; d < DEPTH; ++d) {
        float q[GROUPS_M * 4], x[GROUPS_N * 4];
#pragma unroll
        for (int g = 0; g < GROUPS_M; ++g)
            unpack(query[d * TILE_M / 4 + g * 8], q + 4 * g);
#pragma unroll
        for (int g = 0; g < GROUPS_N; ++g)
            unpack(item[d * TILE_N / 4 + g * 4], x + 4 * g);
#pragma unroll
        for (int i = 0; i < GROUPS_M * 4; ++i)
#pragma unroll
            for (int j = 0; j < GROUPS_N * 4; ++j)
                sum[i][j] = fmaf(q[i], x[j], sum[i][j]);
    }
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

// What a panel's queries have found: ROOM keys each, of which `waiting` are set and the first `sure` aren't excluded.
struct Found {
    u64* key;
    float* limit;
    int *waiting, *sure;
};

__device__ __forceinline__ void offer(const Found& found, int m, float score, i64 item, i64 end) {
    if (score > found.limit[m] && item < end)
        found.key[m * ROOM + atomicAdd(&found.waiting[m], 1)] = key_of(score, unsigned(item));
}

// Scores of a tile that are above their query's limit join its buffer. Few are: four are passed over at a time.
__device__ __forceinline__ void offer_all(const Found& found, Place place, const Sums& sum, i64 first, i64 end) {
#pragma unroll
    for (int i = 0; i < GROUPS_M * 4; ++i) {
        const int m = place.m + i / 4 * 32 + i % 4;
        const float limit = found.limit[m];
#pragma unroll
        for (int g = 0; g < GROUPS_N; ++g) {
            const float* four = sum[i] + 4 * g;
            if (fmaxf(fmaxf(four[0], four[1]), fmaxf(four[2], four[3])) > limit)
#pragma unroll
                for (int j = 0; j < 4; ++j)
                    offer(found, m, four[j], first + place.n + g * 16 + j, end);
        }
    }
}

// How many of a warp's keys are `floor` or more.
__device__ __forceinline__ int count_from(const u64 (&key)[ROOM / 32], int held, u64 floor) {
    int count = 0;
#pragma unroll
    for (int e = 0; e < ROOM / 32; ++e)
        if (32 * e < held) count += __popc(__ballot_sync(ALL, key[e] >= floor));
    return count;
}

// A number that k of a warp's keys reach, of which more are greater than 0: bisected among the scores, and where scores
// tie among the items.
__device__ __forceinline__ u64 floor_of(const u64 (&key)[ROOM / 32], int held, int k) {
    unsigned low = ALL, high = 0;
#pragma unroll
    for (int e = 0; e < ROOM / 32; ++e) {
        low = min(low, key[e] ? unsigned(key[e] >> 32) : ALL);
        high = max(high, unsigned(key[e] >> 32));
    }
    for (int gap = 16; gap; gap >>= 1) {
        low = min(low, __shfl_xor_sync(ALL, low, gap));
        high = max(high, __shfl_xor_sync(ALL, high, gap));
    }
    for (++high; high - low > 1;) {
        const unsigned middle = low + (high - low) / 2;
        const int count = count_from(key, held, (u64)middle << 32);
        if (count == k) return (u64)middle << 32;
        (count > k ? low : high) = middle;
    }
    u64 floor = (u64)low << 32;
    for (u64 bit = 1ull << 31; bit; bit >>= 1) {
        const int count = count_from(key, held, floor | bit);
        if (count >= k) floor |= bit;
        if (count == k) break;
    }
    return floor;
}

// By one warp: the best k, in any order, of `held` keys, less those that are excluded. `from` and `to` may be the same.
__device__ __forceinline__ int keep_best(const u64* from, int held, int sure, Excluded excluded, int k, u64* to,
                                         unsigned* worst) {
    const int lane = threadIdx.x % 32;
    u64 key[ROOM / 32];
    int total = 0, kept = 0;
#pragma unroll
    for (int e = 0; e < ROOM / 32; ++e) {
        const int at = 32 * e + lane;
        key[e] = at < held ? from[at] : 0;
        if (at < held && at >= sure && excluded.contains(int(0xffffffffu - unsigned(key[e])))) key[e] = 0;
        total += __popc(__ballot_sync(ALL, key[e] != 0));
    }
    const u64 floor = total > k ? floor_of(key, held, k) : 1;
    *worst = ALL;
#pragma unroll
    for (int e = 0; e < ROOM / 32; ++e) {
        const bool keep = key[e] >= floor;
        const unsigned those = __ballot_sync(ALL, keep);
        if (keep) {
            to[kept + __popc(those & ((1u << lane) - 1))] = key[e];
            *worst = min(*worst, unsigned(key[e] >> 32));
        }
        kept += __popc(those);
    }
    for (int gap = 16; gap; gap >>= 1)
        *worst = min(*worst, __shfl_xor_sync(ALL, *worst, gap));
    return kept;
}

// Each warp cuts those of its queries' buffers that more than `most` keys wait in.
__device__ __forceinline__ void cut(const Found& found, const i64* indptr, const int* exclude, int k, int most) {
    const int lane = threadIdx.x % 32, mine = threadIdx.x / 32 * OWN;
    unsigned full = __ballot_sync(ALL, lane < OWN && found.waiting[mine + min(lane, OWN - 1)] > most);
    for (; full; full &= full - 1) {
        const int m = mine + __ffs(full) - 1;
        u64* key = found.key + m * ROOM;
        unsigned worst;
        const Excluded excluded = {exclude, indptr[m], indptr[m + 1]};
        const int kept = keep_best(key, found.waiting[m], found.sure[m], excluded, k, key, &worst);
        if (lane == 0) {
            found.waiting[m] = found.sure[m] = kept;
            if (kept == k) found.limit[m] = score_of((u64)worst << 32);
        }
    }
}

// The k best of each query of the panel, in any order, then zeros.
__device__ __forceinline__ void finish(const Found& found, const i64* indptr, const int* exclude, int k, int rows,
                                       u64* list) {
    const int lane = threadIdx.x % 32, mine = threadIdx.x / 32 * OWN;
    for (int m = mine; m < min(mine + OWN, rows); ++m) {
        unsigned worst;
        const Excluded excluded = {exclude, indptr[m], indptr[m + 1]};
        u64* to = list + (i64)m * k;
        const int kept = keep_best(found.key + m * ROOM, found.waiting[m], found.sure[m], excluded, k, to, &worst);
        for (int at = kept + lane; at < k; at += 32)
            to[at] = 0;
    }
}

// Empty buffers. What earlier items left as a query's best list, sorted, is its first limit.
__device__ __forceinline__ void begin(const Found& found, const u64* best, int k, int rows) {
    for (int m = threadIdx.x; m < TILE_M; m += THREADS) {
        const u64 last = m < rows ? best[(i64)m * k + k - 1] : 0;
        found.waiting[m] = found.sure[m] = 0;
        found.limit[m] = m >= rows ? __int_as_float(0x7f800000) : last ? score_of(last) : minus_infinity();
    }
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

// lists (1 + splits, Q, k): list 0 is what items before `first` gave, and the others become the best of the `splits`
// spans of N items. `keys` has room for a panel of queries for each block; `most` keys may wait in a buffer.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
search(const float4* __restrict__ queries, const float4* __restrict__ items, int Q, i64 first, int N, int slices,
       int splits, int k, int most, const i64* __restrict__ indptr, const int* __restrict__ exclude, u64* keys,
       u64* lists) {
    extern __shared__ float4 stages[];
    __shared__ float limit[TILE_M];
    __shared__ int waiting[TILE_M], sure[TILE_M];
    __shared__ Unit unit;
    const Found found = {keys + (i64)blockIdx.x * TILE_M * ROOM, limit, waiting, sure};
    const Place place;
    for (int at = blockIdx.x; at < (Q + TILE_M - 1) / TILE_M * splits; at += gridDim.x) {
        if (threadIdx.x == 0) unit.set(at, splits, Q, (N + TILE_N - 1) / TILE_N);
        __syncthreads();
        begin(found, lists + (i64)unit.row * k, k, unit.rows);
        Feed feed = {queries + (i64)unit.row * slices * (DEPTH / 4) + threadIdx.x,
                     items + (i64)unit.start * slices * (DEPTH * TILE_N / 4) + threadIdx.x, slices, 0};
        for (int ahead = 0; ahead < STAGES - 1; ++ahead)
            feed.next(stages + ahead * STAGE + threadIdx.x);
        int before = (STAGES - 1) * STAGE, stage = 0;
        for (int tile = unit.start; tile < unit.end; ++tile) {
            Sums sum = {};
            for (int slice = 0; slice < slices; ++slice) {
                await_slice();
                __syncthreads();
                feed.next(stages + threadIdx.x + before);
                multiply(stages + place.m / 4 + stage, stages + (DEPTH * TILE_M + place.n) / 4 + stage, sum);
                before = stage;
                stage = following(stage);
            }
            offer_all(found, place, sum, first + (i64)tile * TILE_N, first + N);
            __syncthreads();
            if (tile + 1 < unit.end) cut(found, indptr + unit.row, exclude, k, most);
        }
        u64* list = lists + ((i64)(unit.split + 1) * Q + unit.row) * k;
        finish(found, indptr + unit.row, exclude, k, unit.rows, list);
        await_all();
        __syncthreads();
    }
}

// The k best keys of `count` lists of each query, sorted, into `best` (Q, k), and what they stand for; a block a query.
extern "C" __global__ void __launch_bounds__(128)
merge_lists(const u64* lists, int Q, int count, int k, u64* best, int* index, float* score) {
    __shared__ u64 key[MERGED];
    const i64 q = blockIdx.x;
    int size = 1;
    while (size < count * k)
        size *= 2;
    for (int at = threadIdx.x; at < size; at += blockDim.x)
        key[at] = at < count * k ? lists[((i64)(at / k) * Q + q) * k + at % k] : 0;
    __syncthreads();
    sort_keys(key, size);
    for (int at = threadIdx.x; at < k; at += blockDim.x) {
        best[q * k + at] = key[at];
        index[q * k + at] = key[at] ? int(0xffffffffu - unsigned(key[at])) : -1;
        score[q * k + at] = key[at] ? score_of(key[at]) : minus_infinity();
    }
}
