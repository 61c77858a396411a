// A block's tile of results: TILE x WIDTH of them, 8 x 8 in each thread.

#define THREADS 128
#define TILE 128
#define WIDTH 64
#define DEPTH 16
#define FAN 4      // sums that a block adds at once
#define SUMS 17    // 16 bytes each: a thread's 8 x 8 results, and its share of the bias's gradient

typedef float Results[8][8];

struct Slice {
    float x[DEPTH][TILE], w[DEPTH][WIDTH];
};

// A lane's place in the 8 x 4 lanes of a warp's 64 x 32 results. Of lanes next to each other two share a row, and those
// two apart a column: then shared memory serves 16 lanes at a time.
__device__ __forceinline__ int first_row() {
    return threadIdx.x / 64 * 64 + (threadIdx.x >> 1 & 7) * 4;
}

__device__ __forceinline__ int first_column() {
    return threadIdx.x / 32 % 2 * 32 + (threadIdx.x & 1) * 4 + (threadIdx.x >> 4 & 1) * 8;
}

// Place in a tile of a thread's i-th row, or column: two times four that lie together.
__device__ __forceinline__ int row_of(int i) {
    return first_row() + i / 4 * 32 + i % 4;
}

__device__ __forceinline__ int column_of(int j) {
    return first_column() + j / 4 * 16 + j % 4;
}

// In the forward product, x is turned on its way to shared memory. What four lanes then write would fall on the same
// banks; so every four terms, rows change places among 32.
__device__ __forceinline__ int turned(int d, int row) {
    return row ^ (d / 4 % 4 * 8);
}

// Terms that are multiplied without a jump: as many as take the fewest instructions for an address.
template <bool TURNED>
struct Stretch {
    static const int TERMS = TURNED ? 4 : 8;
};

// Adds a stretch of terms, from term `begin` on.
template <bool TURNED>
__device__ __forceinline__ void multiply_stretch(const Slice& slice, int begin, int row, int column, Results& sum) {
#pragma unroll
    for (int d = begin; d < begin + Stretch<TURNED>::TERMS; ++d) {
        const int start = TURNED ? turned(d, row) : row;
        Quad a[2], b[2];
        for (int h = 0; h < 2; ++h) {
            a[h] = *reinterpret_cast<const Quad*>(&slice.x[d][start + 32 * h]);
            b[h] = *reinterpret_cast<const Quad*>(&slice.w[d][column + 16 * h]);
        }
        for (int i = 0; i < 8; ++i)
            for (int j = 0; j < 8; ++j)
                sum[i][j] += a[i / 4].v[i % 4] * b[j / 4].v[j % 4];
    }
}

// A loop, not one long row of instructions: the compiler would move the loads of the next slice down to the middle.
template <bool TURNED>
__device__ __forceinline__ void multiply(const Slice& slice, Results& sum) {
    const int row = first_row(), column = first_column();
#pragma unroll 1
    for (int d = 0; d < DEPTH; d += Stretch<TURNED>::TERMS)
        multiply_stretch<TURNED>(slice, d, row, column, sum);
}

// Adds up `count` slices. Behind the last one a feed asks for nothing: a branch here would let the compiler put the
// loads behind the multiplication.
template <class Feed>
__device__ __forceinline__ void accumulate(Feed& feed, int count, Slice* slice, Results& sum) {
    feed.ask(0);
    feed.settle(0, slice[0]);
    for (int s = 0; s < count; ++s) {
        __syncthreads();
        feed.ask(s + 1);
        multiply<Feed::TURNED>(slice[s & 1], sum);
        feed.settle(s + 1, slice[s & 1 ^ 1]);
    }
}

__device__ __forceinline__ void keep(const Results& sum, const Quad& extra, Quad* part) {
    for (int q = 0; q < 16; ++q)
        part[q * THREADS + threadIdx.x] = {sum[q / 2][q % 2 * 4], sum[q / 2][q % 2 * 4 + 1], sum[q / 2][q % 2 * 4 + 2],
                                           sum[q / 2][q % 2 * 4 + 3]};
    part[16 * THREADS + threadIdx.x] = extra;
}

__device__ __forceinline__ void add_kept(const Quad* part, Results& sum, Quad& extra) {
    for (int q = 0; q < SUMS; ++q) {
        const Quad more = part[q * THREADS + threadIdx.x];
        for (int k = 0; k < 4; ++k)
            (q < 16 ? sum[q / 2 % 8][q % 2 * 4 + k] : extra.v[k]) += more.v[k];
    }
}

// Adds up a tile's sums of `splits` blocks, FAN at a time, and these again. True, with the whole sum, in one of them.
// `part` and `ticket` are the tile's own, with room for the sums of all levels; `last` is shared.
__device__ __forceinline__ bool add_up(int split, int splits, Quad* part, unsigned* ticket, bool* last, Results& sum,
                                       Quad& extra) {
    for (int count = splits, at = split; count > 1; count = (count + FAN - 1) / FAN, at /= FAN) {
        const int first = at / FAN * FAN, members = min(FAN, count - first);
        keep(sum, extra, part + (i64)at * SUMS * THREADS);
        if (!last_of(members, ticket + at / FAN, last)) return false;
        for (int i = 0; i < 64; ++i)
            sum[i / 8][i % 8] = 0;
        extra = {0, 0, 0, 0};
        for (int m = first; m < first + members; ++m)
            add_kept(part + (i64)m * SUMS * THREADS, sum, extra);
        part += (i64)count * SUMS * THREADS;
        ticket += (count + FAN - 1) / FAN;
    }
    return true;
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
