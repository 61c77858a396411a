// Sparse products with matrices of zeros and ones, lists of columns (contract: reference/lists.py).
#include "common.cuh"

#define THREADS 256

// out (n, q): row s sums the rows of x that its list names, in double. `share` groups of lanes share a list, each every
// share-th of its entries, and their sums are added in order: a list may be a million long.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
sum_lists(const i64* __restrict__ indptr, const int* __restrict__ index, const Real* __restrict__ x, Real* out, i64 n,
          int q, int lanes, int share) {
    __shared__ double parts[THREADS * VEC];
    const int group = threadIdx.x / lanes, part = group % share;
    const i64 row = (i64)blockIdx.x * (THREADS / lanes / share) + group / share;
    const i64 begin = row < n ? indptr[row] : 0, end = row < n ? indptr[row + 1] : 0;
    for (int first = 0; first < q; first += lanes * VEC) {
        const int k = first + my_lane(lanes) * VEC;
        double sum[VEC] = {};
        if (k < q)
#pragma unroll 4
            for (i64 at = begin + part; at < end; at += share) {
                const Pack value = load(x + (i64)index[at] * q + k);
                for (int e = 0; e < VEC; ++e)
                    sum[e] += value.v[e];
            }
        if (share > 1) {
            for (int e = 0; e < VEC; ++e)
                parts[threadIdx.x * VEC + e] = sum[e];
            __syncthreads();
            for (int p = 1; part == 0 && p < share; ++p)
                for (int e = 0; e < VEC; ++e)
                    sum[e] += parts[(threadIdx.x + p * lanes) * VEC + e];
            __syncthreads();
        }
        if (part == 0 && row < n && k < q) {
            Pack total;
            for (int e = 0; e < VEC; ++e)
                total.v[e] = Real(sum[e]);
            store(out + row * q + k, total);
        }
    }
}

// The row of every entry of compressed rows: that whose offsets hold its place.
extern "C" __global__ void row_of_entry(const i64* __restrict__ indptr, i64 n, i64 count, int* row) {
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count) return;
    i64 low = 0, high = n;  // indptr[low] <= at < indptr[high]
    while (high - low > 1) {
        const i64 middle = (low + high) / 2;
        if (indptr[middle] <= at) low = middle;
        else high = middle;
    }
    row[at] = int(low);
}

// Where each of n columns begins among entries sorted by column.
extern "C" __global__ void first_entries(const int* __restrict__ column, i64 count, i64 n, i64* offsets) {
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (at > count) return;
    const i64 before = at ? column[at - 1] : -1, here = at < count ? column[at] : n;
    for (i64 c = before + 1; c <= here; ++c)
        offsets[c] = at;
}
