// A block's tile of results: TILE x WIDTH of them, 8 x 8 in each thread.

#define THREADS 128
#define TILE 128
#define WIDTH 64
#define DEPTH 16

typedef float Results[8][8];

// A slice of terms in shared memory, as it lies in global memory. Forward, a row's terms lie side by side; then what 8
// lanes read of 8 rows is on different banks, thanks to the gap behind each.
template <bool FORWARD>
struct Slice {
    float x[FORWARD ? TILE : DEPTH][FORWARD ? DEPTH + 4 : TILE], w[DEPTH][WIDTH];
};

// Place in a tile of a thread's i-th row: next to that of other lanes, or two times four that lie together. A warp has
// 64 x 32 results. Of lanes next to each other two share a row, and those two apart a column: then shared memory serves
// 16 lanes at a time.
template <bool FORWARD>
__device__ __forceinline__ int row_of(int i) {
    const int warp = threadIdx.x / 64 * 64, lane = threadIdx.x >> 1 & 7;
    return FORWARD ? warp + lane + 8 * i : warp + lane * 4 + i / 4 * 32 + i % 4;
}

// And of its j-th column.
__device__ __forceinline__ int column_of(int j) {
    return threadIdx.x / 32 % 2 * 32 + (threadIdx.x & 1) * 4 + (threadIdx.x >> 4 & 1) * 8 + j / 4 * 16 + j % 4;
}

__device__ __forceinline__ Quad quad_at(const float* at) {
    return *reinterpret_cast<const Quad*>(at);
}

// Multiplies in an order in which each multiply-add shares an operand with the one before. That one is kept; the two
// banks of registers give the two others in the same cycle if each has one.
__device__ __forceinline__ void multiply_stretch(const Slice<true>& slice, int begin, Results& sum) {
    Quad a[8];
    for (int i = 0; i < 8; ++i)
        a[i] = quad_at(&slice.x[row_of<true>(i)][begin]);
    for (int d = 0; d < 4; ++d) {
        const Quad b[2] = {quad_at(&slice.w[begin + d][column_of(0)]), quad_at(&slice.w[begin + d][column_of(4)])};
        for (int i = 0; i < 8; ++i)
            for (int step = 0; step < 8; ++step) {
                const int j = i % 2 ? 7 - step : step;
                sum[i][j] = fmaf(a[i].v[d], b[j / 4].v[j % 4], sum[i][j]);
            }
    }
}

__device__ __forceinline__ void multiply_stretch(const Slice<false>& slice, int begin, Results& sum) {
#pragma unroll
    for (int d = begin; d < begin + 4; ++d) {
        const Quad a[2] = {quad_at(&slice.x[d][row_of<false>(0)]), quad_at(&slice.x[d][row_of<false>(4)])};
        const Quad b[2] = {quad_at(&slice.w[d][column_of(0)]), quad_at(&slice.w[d][column_of(4)])};
        for (int j = 0; j < 8; ++j)
            for (int step = 0; step < 8; ++step) {
                const int i = j % 2 ? 7 - step : step;
                sum[i][j] = fmaf(a[i / 4].v[i % 4], b[j / 4].v[j % 4], sum[i][j]);
            }
    }
}

// How much of the loop is one row of instructions is a matter of how well the compiler spreads the operands over the
// two banks then.
template <bool FORWARD>
__device__ __forceinline__ void multiply(const Slice<FORWARD>& slice, Results& sum) {
#pragma unroll(FORWARD ? 1 : 4)
    for (int d = 0; d < DEPTH; d += 4)
        multiply_stretch(slice, d, sum);
}

// Adds up `count` slices. Behind the last one a feed asks for nothing: a branch here would let the compiler put the
// loads behind the multiplication.
template <class Feed, bool FORWARD>
__device__ __forceinline__ void accumulate(Feed& feed, int count, Slice<FORWARD>* slice, Results& sum) {
    feed.ask(0, slice[0]);
    feed.settle(0, slice[0]);
    for (int s = 0; s < count; ++s) {
        await_copies();
        __syncthreads();
        feed.ask(s + 1, slice[s & 1 ^ 1]);
        multiply(slice[s & 1], sum);
        feed.settle(s + 1, slice[s & 1 ^ 1]);
    }
    await_copies();
}

__device__ __forceinline__ void clear(Results& sum) {
    for (int i = 0; i < 64; ++i)
        sum[i / 8][i % 8] = 0;
}

// Four results of a row, from column k on; what lies beyond K is left out.
__device__ __forceinline__ void put(const float* results, int k, int K, float* row) {
    for (int q = 0; q < 4; q += KVEC) {
        Numbers<float, KVEC> part;
        for (int j = 0; j < KVEC; ++j)
            part.v[j] = results[q + j];
        if (k + q < K) *reinterpret_cast<Numbers<float, KVEC>*>(row + k + q) = part;
    }
}
