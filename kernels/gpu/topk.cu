// The best k items of each query (contract: reference/topk.py): tiles of scores, then a selection for each query.
#include "common.cuh"
#include "keys.cuh"

#define TILE 64   // queries and items of a tile: 16 x 16 threads, each with 4 x 4 scores in registers
#define DEPTH 16  // elements of the vectors between two visits of shared memory
#define THREADS 256
#define KEPT 1024  // best keys that a block holds, and as many candidates beside them
#include "selection.cuh"

// Rows first ... first + TILE - 1 of a table, elements k ... k + DEPTH - 1, transposed and filled up with zeros.
__device__ __forceinline__ void fetch(const float* table, i64 first, i64 rows, int k, int K, float (*tile)[TILE + 1]) {
    for (int at = threadIdx.x; at < TILE * DEPTH; at += THREADS) {
        const int r = at / DEPTH, d = at % DEPTH;
        tile[d][r] = first + r < rows && k + d < K ? table[(first + r) * K + k + d] : 0.0f;
    }
}

// scores (Q, N): each is one chain of multiply-adds in the order of K, however the work is cut up.
extern "C" __global__ void __launch_bounds__(THREADS)
scores(const float* __restrict__ queries, const float* __restrict__ items, int Q, int N, int K, float* out) {
    __shared__ float q[DEPTH][TILE + 1], x[DEPTH][TILE + 1];
    const i64 row = (i64)blockIdx.y * TILE, column = (i64)blockIdx.x * TILE;
    const int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    float sum[4][4] = {};
    for (int k = 0; k < K; k += DEPTH) {
        fetch(queries, row, Q, k, K, q);
        fetch(items, column, N, k, K, x);
        __syncthreads();
        for (int d = 0; d < min(DEPTH, K - k); ++d)
            for (int a = 0; a < 4; ++a)
                for (int b = 0; b < 4; ++b)
                    sum[a][b] = fmaf(q[d][ty + 16 * a], x[d][tx + 16 * b], sum[a][b]);
        __syncthreads();
    }
    for (int a = 0; a < 4; ++a)
        for (int b = 0; b < 4; ++b) {
            const i64 i = row + ty + 16 * a, j = column + tx + 16 * b;
            if (i < Q && j < N) out[i * N + j] = sum[a][b];
        }
}

// The k best of each row of scores, a block a query; what is excluded is taken out first. More than KEPT are found in
// turns, each below the last key of the one before.
extern "C" __global__ void __launch_bounds__(THREADS)
select_best(float* scores, int N, const i64* __restrict__ indptr, const int* __restrict__ exclude, int k, int* index,
            float* score) {
    __shared__ u64 key[2 * KEPT];
    __shared__ int waiting;
    const i64 q = blockIdx.x;
    float* row = scores + q * N;
    for (i64 at = indptr[q] + threadIdx.x; at < indptr[q + 1]; at += THREADS)
        row[exclude[at]] = minus_infinity();  // seen by all after the barrier that `find` begins with
    u64 limit = ~0ull;
    for (int done = 0; done < k; done += KEPT) {
        const int wanted = min(KEPT, k - done);
        find(row, N, limit, wanted, key, &waiting);
        for (int at = threadIdx.x; at < wanted; at += THREADS) {
            index[q * k + done + at] = key[at] ? int(0xffffffffu - unsigned(key[at])) : -1;
            score[q * k + done + at] = key[at] ? score_of(key[at]) : minus_infinity();
        }
        limit = key[KEPT - 1];
        __syncthreads();
    }
}
