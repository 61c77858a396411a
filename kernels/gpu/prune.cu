// The best k items of wide queries, most items left out by a bound on their scores (contract: reference/topk.py): exact,
// and the same bits as a search by all scores.
//
// A vector v is rounded to bytes, v = s q + e with q of -127 ... 127. For a query p and an item z
//
//     p . z <= s_p s_z (q_p . q_z) + |s_p q_p| |e_z| + |e_p| |z|
//
// by Cauchy and Schwarz; a share of |p| |z| that is more than all rounding comes on top. Products of bytes are whole
// numbers, so that it doesn't matter in which order and by which instruction they are summed. Bounds of some queries for
// some items make a table. A block takes a query's row of it: the items of the highest bounds are scored first, then all
// whose bound isn't below the k-th of these.
#include "common.cuh"
#include "keys.cuh"

#define THREADS 256
#define KEPT 1024
#include "selection.cuh"
#define TILE 128                // queries and items of a tile of bounds: 4 x 2 warps with 32 x 64 of them
#define DEPTH 64                // bytes of a row in shared memory at a time
#define WORDS (DEPTH / 4)       // in groups of four
#define STRIDE (WORDS + 4)      // from row to row, so that what 32 lanes read lies in 32 banks
#define LARGEST 1e15f           // vectors with larger numbers aren't rounded to bytes
#define LEAST 1e-20f            // and those of less are all zeros
#define MORE 1.001              // what lengths are multiplied with: rounding made them
#define LOST -2                 // stands first in the list of a query that bounds don't serve

struct alignas(16) Size {
    float scale, kept, lost, length;  // s, |s q|, |e|, |v|; s < 0 where a number is too large or none
};

struct alignas(16) Four {
    int v[4];
};

struct alignas(16) Rows {
    int row[TILE][STRIDE];
};

__device__ __forceinline__ float largest_of_warp(float value) {
    for (int gap = 16; gap; gap >>= 1)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, gap));
    return value;
}

// Four numbers of a row as bytes, zeros behind its end, and their part of the squares of s q, e and v.
__device__ __forceinline__ int round_four(const float* x, int left, float scale, float inverse, double* squares) {
    int word = 0;
    for (int i = 0; i < 4; ++i) {
        const float value = i < left ? x[i] : 0.0f, whole = fminf(fmaxf(rintf(value * inverse), -127.0f), 127.0f);
        const float near = whole * scale, lost = fmaf(-whole, scale, value);
        squares[0] += double(near) * near;
        squares[1] += double(lost) * lost;
        squares[2] += double(value) * value;
        word |= (int(whole) & 255) << 8 * i;
    }
    return word;
}

__device__ __forceinline__ float length_of(double square) {
    return float(sqrt(sum_lanes(square, 32)) * MORE) + LEAST;
}

// Rows (n, K) as bytes (rows, width), zeros where there is nothing; `beyond` becomes 1 if one can't be rounded. A warp
// makes a row.
extern "C" __global__ void __launch_bounds__(THREADS)
quantise(const float* __restrict__ table, int n, int rows, int K, int width, int* bytes, Size* sizes, int* beyond) {
    const i64 r = my_row(32);
    if (r >= rows) return;
    const float* row = table + r * K;
    const int there = r < n ? K : 0;
    float most = 0;
    bool bad = false;
    for (int k = my_lane(32); k < there; k += 32) {
        most = fmaxf(most, fabsf(row[k]));
        bad = bad || !(fabsf(row[k]) <= LARGEST);
    }
    most = largest_of_warp(most);
    bad = __any_sync(0xffffffffu, bad);
    const bool some = most > LEAST && !bad;
    const float scale = some ? most / 127 : 1.0f, inverse = some ? 127 / most : 0.0f;
    double squares[3] = {};
    for (int k = 4 * my_lane(32); k < width; k += 128)
        bytes[(r * width + k) / 4] = round_four(row + k, there - k, scale, inverse, squares);
    const float kept = length_of(squares[0]), lost = length_of(squares[1]), length = length_of(squares[2]);
    if (my_lane(32)) return;
    sizes[r] = {bad ? -1.0f : scale, kept, lost, length};
    if (bad) atomicExch(beyond, 1);
}

// Rows `first` ... of bytes, columns `at` ... at + DEPTH - 1.
__device__ __forceinline__ void fetch(const int* bytes, i64 first, int width, int at, Rows& tile) {
    for (int each = threadIdx.x; each < TILE * WORDS / 4; each += THREADS) {
        const int r = each / (WORDS / 4), word = each % (WORDS / 4) * 4;
        const i64 from = ((first + r) * width + at) / 4 + word;
        *reinterpret_cast<Four*>(&tile.row[r][word]) = *reinterpret_cast<const Four*>(bytes + from);
    }
}

// A thread's sums: [i][j][2 h + c] is of row 16 i + 8 h + lane / 4 and column 8 j + 2 (lane % 4) + c of its warp's.
typedef int Sums[2][8][4];

#if __CUDA_ARCH__ >= 800
__device__ __forceinline__ void multiply(const int (*x)[STRIDE], const int (*z)[STRIDE], Sums& sum) {
    const int group = threadIdx.x % 32 / 4, one = threadIdx.x % 4;
#pragma unroll
    for (int word = 0; word < WORDS; word += 8)
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            const int b0 = z[8 * j + group][word + one], b1 = z[8 * j + group][word + one + 4];
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const int a0 = x[16 * i + group][word + one], a1 = x[16 * i + group + 8][word + one];
                const int a2 = x[16 * i + group][word + one + 4], a3 = x[16 * i + group + 8][word + one + 4];
                int* s = sum[i][j];
                asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
                             "{%8, %9}, {%0, %1, %2, %3};"
                             : "+r"(s[0]), "+r"(s[1]), "+r"(s[2]), "+r"(s[3])
                             : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
            }
        }
}
#else
__device__ __forceinline__ int dot_four(int a, int b, int sum) {
#if __CUDA_ARCH__
    return __dp4a(a, b, sum);
#else
    for (int i = 0; i < 32; i += 8)
        sum += int((signed char)(a >> i)) * int((signed char)(b >> i));
    return sum;
#endif
}

__device__ __forceinline__ void multiply(const int (*x)[STRIDE], const int (*z)[STRIDE], Sums& sum) {
    const int row = threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 2;
    for (int word = 0; word < WORDS; ++word)
#pragma unroll
        for (int n = 0; n < 16; ++n) {
            const int b = z[n / 2 * 8 + column + n % 2][word];
#pragma unroll
            for (int m = 0; m < 4; ++m) {
                int& s = sum[m / 2][n / 2][m % 2 * 2 + n % 2];
                s = dot_four(x[8 * m + row][word], b, s);
            }
        }
}
#endif

// bounds (Q, N) of the scores; `rounding` is the share of |p| |z| that rounding is below.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
bound(const int* __restrict__ queries, const Size* __restrict__ query_sizes, const int* __restrict__ items,
      const Size* __restrict__ item_sizes, int Q, int N, int width, float rounding, float* bounds) {
    __shared__ Rows x, z;
    const i64 first = (i64)blockIdx.y * TILE, start = (i64)blockIdx.x * TILE;
    const int row = threadIdx.x / 64 * 32, column = threadIdx.x / 32 % 2 * 64, lane = threadIdx.x % 32;
    Sums sum = {};
    for (int at = 0; at < width; at += DEPTH) {
        fetch(queries, first, width, at, x);
        fetch(items, start, width, at, z);
        __syncthreads();
        multiply(x.row + row, z.row + column, sum);
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < 4; ++m) {
        const i64 q = first + row + 8 * m + lane / 4;
        if (q >= Q) continue;
        const Size p = query_sizes[q];
#pragma unroll
        for (int n = 0; n < 16; ++n) {
            const i64 item = start + column + n / 2 * 8 + lane % 4 * 2 + n % 2;
            if (item >= N) continue;
            const Size v = item_sizes[item];
            const float product = p.scale * v.scale * float(sum[m / 2][n / 2][m % 2 * 2 + n % 2]);
            bounds[q * N + item] = product + (p.kept * v.lost + p.lost * v.length + rounding * p.length * v.length);
        }
    }
}

// A score in one chain of multiply-adds, as in every other search.
__device__ __forceinline__ float score_of_pair(const float* query, const float* item, int K) {
    float sum = 0;
    for (int k = 0; k < K; k += VEC) {
        const Vector<float> some = load(item + k);
        for (int e = 0; e < VEC; ++e)
            sum = fmaf(query[k + e], some.v[e], sum);
    }
    return sum;
}

// What a block knows of its query.
struct Query {
    const float *vector, *items;
    int N, K;
    i64 first;  // number of the first of the N items

    __device__ __forceinline__ u64 key(unsigned item) const {
        return key_of(score_of_pair(vector, items + (i64)item * K, K), unsigned(first) + item);
    }
};

// Zeros behind the first `count` keys up to a power of two, then all in order.
__device__ __forceinline__ void sort_first(u64* key, int count) {
    int size = 2;
    while (size < count) size *= 2;
    for (int at = count + threadIdx.x; at < size; at += THREADS)
        key[at] = 0;
    __syncthreads();
    sort_keys(key, size);
}

// The entries of a list as keys.
__device__ __forceinline__ void read_list(const int* index, const float* score, int k, u64* key) {
    for (int at = threadIdx.x; at < k; at += THREADS)
        key[at] = index[at] < 0 ? 0 : key_above(score[at], unsigned(index[at]));
}

// What an item's bound must not be below for it to be listed: the k-th best score among the list and the k items of the
// highest bounds, whose keys are sorted.
__device__ __forceinline__ float least(const Query& query, const int* index, const float* score, int k, u64* key) {
    for (int at = threadIdx.x; at < k; at += THREADS)
        if (key[at]) key[at] = query.key(0xffffffffu - unsigned(key[at]));
    read_list(index, score, k, key + k);
    sort_first(key, 2 * k);
    return key[k - 1] ? score_of(key[k - 1]) : minus_infinity();
}

// Numbers of the items whose bound isn't below `limit`, behind the first k keys; how many there are with these. Keys are
// written behind a barrier: all have read what was there.
__device__ __forceinline__ int collect(const float* row, int N, float limit, int k, u64* key, int* waiting) {
    if (threadIdx.x == 0) *waiting = k;
    __syncthreads();
    for (i64 item = threadIdx.x; item < N; item += THREADS)
        if (row[item] >= limit && row[item] > minus_infinity()) {
            const int at = atomicAdd(waiting, 1);
            if (at < 2 * KEPT) key[at] = u64(item);
        }
    __syncthreads();
    return *waiting;
}

// Offers N items, of which the first is item `first`, to the sorted lists of queries (Q, k), a block each, by their
// bounds. Adds to `made` how many scores were made.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
list_bounded(float* bounds, const float* __restrict__ queries, const Size* __restrict__ sizes,
             const float* __restrict__ items, int N, i64 first, int K, const i64* __restrict__ indptr,
             const int* __restrict__ exclude, int k, int* index, float* score, u64* made) {
    __shared__ u64 key[2 * KEPT];
    __shared__ int waiting;
    extern __shared__ float vector[];
    const i64 q = blockIdx.x;
    float* row = bounds + q * N;
    index += q * k;
    score += q * k;
    if (index[0] == LOST) return;
    __syncthreads();  // all have read it
    for (int at = threadIdx.x; at < K; at += THREADS)
        vector[at] = queries[q * K + at];
    for (i64 at = indptr[q] + threadIdx.x; at < indptr[q + 1]; at += THREADS) {
        const i64 item = exclude[at] - first;
        if (item >= 0 && item < N) row[item] = minus_infinity();  // seen by all after the barrier that `find` begins with
    }
    const Query query = {vector, items, N, K, first};
    find(row, N, ~0ull, k, key, &waiting);
    const float limit = least(query, index, score, k, key);
    const int count = collect(row, N, limit, k, key, &waiting);
    if (sizes[q].scale < 0 || count > 2 * KEPT) {
        if (threadIdx.x == 0) index[0] = LOST;
        return;
    }
    read_list(index, score, k, key);
    for (int at = k + threadIdx.x; at < count; at += THREADS)
        key[at] = query.key(unsigned(key[at]));
    sort_first(key, count);
    for (int at = threadIdx.x; at < k; at += THREADS) {
        index[at] = key[at] ? int(0xffffffffu - unsigned(key[at])) : -1;
        score[at] = key[at] ? score_of(key[at]) : minus_infinity();
    }
    if (threadIdx.x == 0) atomicAdd(made, u64(count - k));
}
