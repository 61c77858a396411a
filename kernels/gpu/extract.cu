// Rows of a virtual feature table, and sums over columns; the products themselves are cuBLAS's (contract:
// reference/extract.py).
#include "common.cuh"

#ifndef HALF
#define HALF 0
#endif

#if HALF
typedef unsigned short Raw;  // the bits of a float16
#else
typedef float Raw;
#endif

// x = scale * row, by the whole block.
template <class T>
__device__ __forceinline__ void copy(const T* row, Real scale, Real* x, int D) {
    for (int d = threadIdx.x * VEC; d < D; d += blockDim.x * VEC) {
        const Vector<T> from = load(row + d);
        Pack to;
        for (int k = 0; k < VEC; ++k)
            to.v[k] = Real(widen(from.v[k])) * scale;
        store(x + d, to);
    }
}

__device__ __forceinline__ void clear(Real* x, int D) {
    Pack zero;
    for (int k = 0; k < VEC; ++k)
        zero.v[k] = 0;
    for (int d = threadIdx.x * VEC; d < D; d += blockDim.x * VEC)
        store(x + d, zero);
}

// Row rows[r] of the table into row r of x, one block a row; zeros where that is -1, since products read the row all
// the same. Where `staged`, the raw rows of this call were put together beforehand: row r of `raw` is its row r.
//
// `out` (n, K), if there is one, is filled with the bias that the product then adds to.
extern "C" __global__ void gather(const Raw* __restrict__ raw, const float* __restrict__ fill,
                                  const int* __restrict__ source, const float* __restrict__ scale,
                                  const int* __restrict__ rows, int D, int staged, Real* x,
                                  const Real* __restrict__ bias, Real* out, int K) {
    const i64 r = blockIdx.x, row = rows[r];
    for (int k = threadIdx.x; out && k < K; k += blockDim.x)
        out[r * K + k] = bias[k];
    x += r * D;
    if (row < 0) return clear(x, D);
    const i64 origin = source[row];
    if (origin < 0) copy(fill + ~origin * D, Real(scale[row]), x, D);
    else copy(raw + (staged ? r : origin) * D, Real(scale[row]), x, D);
}

// Sums over the n rows of g (n, K): a block for 32 columns, a warp for every 32nd row, the warps' sums in order.
extern "C" __global__ void __launch_bounds__(1024) column_sums(const Real* __restrict__ g, int n, int K, Real* out) {
    __shared__ Real parts[32][33];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, k = blockIdx.x * 32 + lane;
    Real total = 0;
    for (int r = warp; k < K && r < n; r += 32)
        total += g[(i64)r * K + k];
    parts[warp][lane] = total;
    __syncthreads();
    if (warp || k >= K) return;
    for (int w = 1; w < 32; ++w)
        total += parts[w][lane];
    out[k] = total;
}
