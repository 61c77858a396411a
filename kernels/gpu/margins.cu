// Margins of the triplets and their backward pass (contract: reference/margins.py).
#include "common.cuh"

// out (M, B): p_u . (c^m_i - c^m_j), the lanes of a row for each triplet. Threads beyond the last triplet repeat it,
// since a sum over lanes needs the whole warp.
extern "C" __global__ void margins(const Real* __restrict__ P, const Real* __restrict__ c,
                                   const int* __restrict__ users, const int* __restrict__ slot, Real* out, int B,
                                   int M, int n, int K, int lanes) {
    const i64 row = my_row(lanes), t = min(row, i64(B - 1));
    const int lane = my_lane(lanes);
    const Real* p = P + (i64)users[t] * K;
    for (int m = 0; m < M; ++m) {
        const Real* better = c + ((i64)m * n + slot[t]) * K;
        const Real* worse = c + ((i64)m * n + slot[B + t]) * K;
        Real total = 0;
        for (int k = lane * VEC; k < K; k += lanes * VEC) {
            const Pack a = load(p + k), b = load(better + k), w = load(worse + k);
            for (int e = 0; e < VEC; ++e)
                total += a.v[e] * (b.v[e] - w.v[e]);
        }
        total = sum_lanes(total, lanes);
        if (lane == 0 && row < B) out[(i64)m * B + t] = total;
    }
}

// out (rows, K): gradient of the batch's distinct users, each the sum over their triplets, in order.
extern "C" __global__ void margins_backward_users(const Real* __restrict__ c, const int* __restrict__ slot,
                                                  const Real* __restrict__ ds, const int* __restrict__ start,
                                                  const int* __restrict__ order, Real* out, int rows, int B, int M,
                                                  int n, int K, int lanes) {
    const i64 s = my_row(lanes);
    if (s >= rows) return;
    for (int k = my_lane(lanes) * VEC; k < K; k += lanes * VEC) {
        Pack sum = {};
        for (int at = start[s]; at < start[s + 1]; ++at) {
            const int t = order[at];
            for (int m = 0; m < M; ++m) {
                const Real g = ds[(i64)m * B + t];
                const Pack b = load(c + ((i64)m * n + slot[t]) * K + k);
                const Pack w = load(c + ((i64)m * n + slot[B + t]) * K + k);
                for (int e = 0; e < VEC; ++e)
                    sum.v[e] += g * (b.v[e] - w.v[e]);
            }
        }
        store(out + s * K + k, sum);
    }
}

// out (M, n, K): gradient of c, + ds p_u where the item is the positive and - ds p_u where it is the negative. The M
// rows of an item are neighbours, because they read the same users.
extern "C" __global__ void margins_backward_items(const Real* __restrict__ P, const int* __restrict__ users,
                                                  const Real* __restrict__ ds, const int* __restrict__ start,
                                                  const int* __restrict__ order, Real* out, int B, int M, int n, int K,
                                                  int lanes) {
    const i64 row = my_row(lanes), s = row / M, m = row % M;
    if (s >= n) return;
    for (int k = my_lane(lanes) * VEC; k < K; k += lanes * VEC) {
        Pack sum = {};
        for (int at = start[s]; at < start[s + 1]; ++at) {
            const int place = order[at], t = place < B ? place : place - B;
            const Real d = ds[m * B + t], g = place < B ? d : -d;
            const Pack p = load(P + (i64)users[t] * K + k);
            for (int e = 0; e < VEC; ++e)
                sum.v[e] += g * p.v[e];
        }
        store(out + (m * n + s) * K + k, sum);
    }
}
