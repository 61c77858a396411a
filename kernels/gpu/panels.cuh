// Panels of packed tables on their way to shared memory, and the products of two of them.
#define TILE_M (WARPS_M * (32 / LANES_N) * GROUPS_M * 4)
#define TILE_N (WARPS_N * LANES_N * GROUPS_N * 4)
#define THREADS (32 * WARPS_M * WARPS_N)
#define STRIDE_M (32 / LANES_N)  // groups of four queries that lie between two of a thread
#define STRIDE_N LANES_N
#define SLICE_M (DEPTH * TILE_M / 4)  // float4
#define SLICE_N (DEPTH * TILE_N / 4)
#define STAGE (SLICE_N + (HELD ? 0 : SLICE_M))

// 16 bytes to shared memory, `ahead` of both addresses; without a stop at the registers where the architecture can do so.
template <int ahead>
__device__ __forceinline__ void copy(float4* to, const float4* from) {
#if __CUDA_ARCH__ >= 800
    const unsigned at = unsigned(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0 + %2], [%1 + %2], 16;" ::"r"(at), "l"(from), "n"(16 * ahead) : "memory");
#else
    to[ahead] = from[ahead];
#endif
}

// A thread's share of `count` neighbours, a multiple of the threads.
template <int count, int ahead = 0>
__device__ __forceinline__ void copy_share(float4* to, const float4* from) {
    static_assert(count % THREADS == 0, "a slice takes whole rounds of the threads");
    copy<ahead>(to, from);
    if constexpr (ahead + THREADS < count) copy_share<count, ahead + THREADS>(to, from);
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

// Wait for all, also for what will not be used.
__device__ __forceinline__ void await_all() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// The slices of a block's tiles in turn: the items' panels one after the other, with them the queries' panel again and
// again, unless it is held. It runs ahead, and beyond the last tile at the end: items are followed by room for that.
struct Feed {
    const float4 *query, *item;
    int slices, slice;

    __device__ __forceinline__ void hold(float4* panel) const {
        for (int at = 0; at < slices; ++at)
            copy_share<SLICE_M>(panel + at * SLICE_M, query + at * SLICE_M);
    }

    __device__ __forceinline__ void next(float4* stage) {
        copy_share<SLICE_N>(stage, item);
        if (!HELD) copy_share<SLICE_M>(stage + SLICE_N, query + slice * SLICE_M);
        close_copies();
        item += SLICE_N;
        slice = slice + 1 == slices ? 0 : slice + 1;
    }
};

// From a stage to that of the next slice, in turn. Addresses go from one to the next: they don't have to be worked out
// from the start of shared memory for each slice.
struct Turn {
    int stage;

    __device__ __forceinline__ int next() {
        const bool last = stage == STAGES - 1;
        stage = last ? 0 : stage + 1;
        return last ? -(STAGES - 1) * STAGE : STAGE;
    }
};

// Which 4 x 4 groups of a tile are this thread's. Neighbouring lanes share queries or items, so that their reads of
// shared memory are one.
struct Place {
    int m, n;
    __device__ __forceinline__ Place() {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        const int along_m = LANES_N == 4 ? lane >> 1 & 7 : lane % STRIDE_M;
        const int along_n = LANES_N == 4 ? lane >> 4 << 1 | (lane & 1) : lane / STRIDE_M;
        m = (warp % WARPS_M * GROUPS_M * STRIDE_M + along_m) * 4;
        n = (warp / WARPS_M * GROUPS_N * STRIDE_N + along_n) * 4;
    }
};

__device__ __forceinline__ void unpack(float4 four, float* to) {
    to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
}

typedef float Sums[GROUPS_M * 4][GROUPS_N * 4];

// One slice's share of a tile's scores: each is one chain of multiply-adds in the order of K. A column down, the next
// one up: every multiply-add shares an operand with the one before, which is kept then. A register file with two banks
// that give a number each in a cycle can't serve three.
__device__ __forceinline__ void multiply(const float4* query, const float4* item, Sums& sum) {
#pragma unroll UNROLLED
    for (int d = 0; d < DEPTH; ++d) {
        float q[GROUPS_M * 4], x[GROUPS_N * 4];
#pragma unroll
        for (int g = 0; g < GROUPS_M; ++g)
            unpack(query[d * TILE_M / 4 + g * STRIDE_M], q + 4 * g);
#pragma unroll
        for (int g = 0; g < GROUPS_N; ++g)
            unpack(item[d * TILE_N / 4 + g * STRIDE_N], x + 4 * g);
#pragma unroll
        for (int j = 0; j < GROUPS_N * 4; ++j)
#pragma unroll
            for (int step = 0; step < GROUPS_M * 4; ++step) {
                const int i = j % 2 ? GROUPS_M * 4 - 1 - step : step;
                sum[i][j] = fmaf(q[i], x[j], sum[i][j]);
            }
    }
}
