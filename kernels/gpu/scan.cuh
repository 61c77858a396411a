// Sums over the threads before one, in a block of THREADS.

// Sum of `value` over the threads before this one; `total` gets that over all. `parts` (32) is shared.
__device__ __forceinline__ int sum_before(int value, int* parts, int* total) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int sum = value;
    for (int gap = 1; gap < 32; gap *= 2) {
        const int other = __shfl_up_sync(0xffffffffu, sum, gap);
        if (lane >= gap) sum += other;
    }
    if (lane == 31) parts[warp] = sum;
    __syncthreads();
    int before = 0, all = 0;
    for (int w = 0; w < THREADS / 32; ++w) {
        if (w < warp) before += parts[w];
        all += parts[w];
    }
    *total = all;
    return before + sum - value;
}
