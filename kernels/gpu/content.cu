// Content of items as the kernel profile sees it (contract: reference/content.py). A warp makes a row.
#include "common.cuh"
#include "half.cuh"

__device__ __forceinline__ float inverse_length(double square) {
    const double length = sqrt(square);
    return length > SHORTEST_ROW ? float(1 / length) : 0.0f;
}

extern "C" __global__ void content_rows(const Raw* __restrict__ raw, const int* __restrict__ rows,
                                        const bool* __restrict__ owned, const float* __restrict__ centre, int n, int D,
                                        float* out) {
    const i64 r = my_row(32);
    if (r >= n) return;
    const Raw* row = raw + (i64)rows[r] * D;
    const bool mine = owned[r];
    out += r * D;
    double square = 0;
    for (int d = my_lane(32); mine && d < D; d += 32) {
        const float x = widen(row[d]) - centre[d];
        square += double(x) * x;
        out[d] = x;
    }
    const float factor = inverse_length(sum_lanes(square, 32));
    for (int d = my_lane(32); d < D; d += 32)
        out[d] = mine ? out[d] * factor : 0.0f;
}

extern "C" __global__ void whiten_rows(const float* __restrict__ x, const float* __restrict__ factors, int n, int D,
                                       int r, float* inside) {
    const i64 i = my_row(32);
    if (i >= n) return;
    x += i * D;
    inside += i * r;
    double square = 0, along = 0, whole = 0;
    float largest = 0;
    for (int k = my_lane(32); k < r; k += 32) {
        const double value = inside[k], part = value / factors[k];
        square += value * value;
        along += part * part;
    }
    for (int k = 0; r < D && k < r; ++k)
        largest = fmaxf(largest, factors[k]);
    for (int d = my_lane(32); r < D && d < D; d += 32)
        whole += double(x[d]) * x[d];
    square = sum_lanes(square, 32);
    const double outside = sum_lanes(whole, 32) - sum_lanes(along, 32);
    const float factor = inverse_length(square + double(largest) * largest * (outside > 0 ? outside : 0.0));
    for (int k = my_lane(32); k < r; k += 32)
        inside[k] *= factor;
}

extern "C" __global__ void exponentials(float* cosines, i64 count, float scale) {
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count) cosines[at] = expf(scale * (cosines[at] - 1.0f));
}

extern "C" __global__ void weighted_sum(const float* __restrict__ similar, const float* __restrict__ weights, int M,
                                        i64 count, float* out) {
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count) return;
    float total = 0;
    for (int m = 0; m < M; ++m)
        if (weights[m] != 0) total += weights[m] * similar[m * count + at];
    out[at] = total;
}
