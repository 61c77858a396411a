// Alignment of the modalities and the regulariser (contract: reference/penalties.py).
#include "common.cuh"

#define THREADS 256

// Whether an item has both modalities a and b.
__device__ __forceinline__ bool owns(const bool* owned, i64 item, int M, int a, int b) {
    return owned[item * M + a] && owned[item * M + b];
}

// How many distinct positives have each pair of modalities, into `count` (M * M): a thread a triplet. Of the triplets
// with one positive, whichever comes first sets its `flag` (n) and counts it; whole numbers don't mind the order.
extern "C" __global__ void alignment_count(const int* __restrict__ rows, const bool* __restrict__ owned,
                                           const int* __restrict__ slot, int B, int M, int* flag, int* count) {
    const i64 t = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    const bool first = t < B && atomicExch(&flag[slot[t]], 1) == 0;
    const i64 item = first ? rows[slot[t]] : 0;
    for (int a = 0; a < M; ++a)
        for (int b = a + 1; b < M; ++b) {
            const unsigned both = __ballot_sync(0xffffffffu, first && owns(owned, item, M, a, b));
            if (threadIdx.x % 32 == 0 && both) atomicAdd(&count[a * M + b], __popc(both));
        }
}

// Some elements of a pair of modalities, at a and b: |difference|^2, and its gradient onto dc.
__device__ __forceinline__ Real pull(const Real* c, Real* dc, i64 a, i64 b, Real step) {
    Pack x = load(c + a), y = load(c + b), dx = load(dc + a), dy = load(dc + b);
    Real total = 0;
    for (int k = 0; k < VEC; ++k) {
        const Real difference = x.v[k] - y.v[k];
        total += difference * difference;
        dx.v[k] += step * difference;
        dy.v[k] -= step * difference;
    }
    store(dc + a, dx);
    store(dc + b, dy);
    return total;
}

// The gradient onto dc (M, n, K) and the term, the lanes of a row for each distinct item. Leaves flags and counts zero.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
alignment_pull(const Real* __restrict__ c, const int* __restrict__ rows, const bool* __restrict__ owned, int n, int M,
               int K, double weight, int* flag, int* count, Real* dc, double* part, unsigned* ticket, double* term,
               int lanes) {
    __shared__ double shared[32];
    __shared__ bool last;
    const i64 r = my_row(lanes);
    const int lane = my_lane(lanes);
    const bool mine = r < n && flag[r];
    double total = 0;
    for (int a = 0; a < M && mine; ++a)
        for (int b = a + 1; b < M; ++b) {
            if (!owns(owned, rows[r], M, a, b)) continue;
            const double share = 1.0 / ((double)count[a * M + b] * K);
            const Real step = Real(2 * weight * share);
            for (int k = lane * VEC; k < K; k += lanes * VEC)
                total += share * pull(c, dc, (a * (i64)n + r) * K + k, (b * (i64)n + r) * K + k, step);
        }
    total = sum_block(total, shared);  // a barrier: every lane has read its row's flag
    if (mine && lane == 0) flag[r] = 0;
    if (threadIdx.x == 0) part[blockIdx.x] = total;
    if (!last_block(ticket, &last)) return;
    total = sum_parts(part, gridDim.x, shared);
    if (threadIdx.x == 0) *term = total;
    for (int pair = threadIdx.x; pair < M * M; pair += THREADS)
        count[pair] = 0;
}

// count |p|^2 of a distinct user, and its gradient onto that user's row of dP.
__device__ __forceinline__ double shrink_user(const Real* p, Real* dp, int count, Real step, int K, int lanes) {
    double total = 0;
    for (int k = my_lane(lanes) * VEC; k < K; k += lanes * VEC) {
        const Pack x = load(p + k);
        Pack dx = load(dp + k);
        for (int e = 0; e < VEC; ++e) {
            total += x.v[e] * x.v[e];
            dx.v[e] += step * x.v[e];
        }
        store(dp + k, dx);
    }
    return count * total;
}

// count |z|^2 of a distinct item, z the mean of its rows c, which lie `apart`; and its gradient onto all of them.
__device__ __forceinline__ double shrink_item(const Real* c, Real* dc, i64 apart, int count, Real step, int M, int K,
                                              int lanes) {
    double total = 0;
#pragma unroll 1  // unrolled, this would take so many registers that few threads fit
    for (int k = my_lane(lanes) * VEC; k < K; k += lanes * VEC) {
        Pack z = {};
#pragma unroll 1
        for (int m = 0; m < M; ++m) {
            const Pack x = load(c + m * apart + k);
            for (int e = 0; e < VEC; ++e)
                z.v[e] += x.v[e];
        }
        for (int e = 0; e < VEC; ++e) {
            z.v[e] *= Real(1) / M;
            total += z.v[e] * z.v[e];
        }
#pragma unroll 1
        for (int m = 0; m < M; ++m) {
            Pack dx = load(dc + m * apart + k);
            for (int e = 0; e < VEC; ++e)
                dx.v[e] += step * z.v[e];
            store(dc + m * apart + k, dx);
        }
    }
    return count * total;
}

// Rows 0 ... n_users-1 of the grid are the distinct users, then come the n distinct items; empty ones have no triplet.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
regulariser(const Real* __restrict__ P, const Real* __restrict__ c, const int* __restrict__ users,
            const int* __restrict__ user_start, const int* __restrict__ item_start, int B, int M, int n_users, int n,
            int K, double weight, Real* dP, Real* dc, double* part, unsigned* ticket, double* term, int lanes) {
    __shared__ double shared[32];
    __shared__ bool last;
    const i64 row = my_row(lanes), r = row - n_users;
    double total = 0;
    if (row < n_users && users[row] >= 0) {
        const int count = user_start[row + 1] - user_start[row];
        const Real step = Real(2 * weight / B * count);
        total = shrink_user(P + (i64)users[row] * K, dP + row * K, count, step, K, lanes);
    } else if (r >= 0 && r < n && item_start[r + 1] > item_start[r]) {
        const int count = item_start[r + 1] - item_start[r];
        const Real step = Real(2 * weight / ((double)B * M) * count);
        total = shrink_item(c + r * K, dc + r * K, (i64)n * K, count, step, M, K, lanes);
    }
    total = sum_block(total, shared);
    if (threadIdx.x == 0) part[blockIdx.x] = total;
    if (!last_block(ticket, &last)) return;
    total = sum_parts(part, gridDim.x, shared);
    if (threadIdx.x == 0) *term = total / B;
}
