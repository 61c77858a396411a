// Products with rows of virtual feature tables, read in place (contract: reference/extract.py).
//
// A block computes tiles of TILE x WIDTH results, a thread 8 x 8 of them, over slices of DEPTH terms: the numbers of
// the next slice are on their way from memory while those of this one are multiplied. All blocks of a launch are
// resident at once and take equal spans of the work (spans.cuh); where blocks share a tile, their sums are added along
// a tree. The order of additions follows from the shapes, the number of rows before the padding and the number of
// blocks, not from timing. One launch serves all modalities.
#include "common.cuh"
#include "half.cuh"
#include "rows.cuh"
#include "tiles.cuh"
#include "spans.cuh"

#define LISTED 512  // rows of which a block keeps the places at a time, and a slice of nobody's behind them
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
#define RESIDENT 2  // blocks of a multiprocessor at least: there a third would have too few registers
#else
#define RESIDENT 3
#endif

// c = scale (row W) + b of a tile's rows.
__device__ __forceinline__ void write_rows(const Group& group, const Modality& m, const Row* list, int first, int real,
                                           int column, int K) {
#pragma unroll 1
    for (int i = 0; i < 8; ++i) {
        const int row = row_of<true>(i);
        float sum[8];
        group.add<8>(i * 8, sum);
        for (int h = 0; h < 8; h += 4) {
            const int k = column + column_of(h);
            for (int j = h; j < h + 4; ++j)
                sum[j] = list[row].scale * sum[j] + (k + j - h < K ? m.bias[k + j - h] : 0.0f);
            if (first + row < real) put(sum + h, k, K, m.out + (i64)(first + row) * K);
        }
    }
}

// c = b of padding rows, by all blocks.
__device__ __forceinline__ void write_padding(const Modalities& all, int count, int real, int n, int K) {
    for (int m = 0; m < count; ++m)
        for (i64 e = (i64)real * K + blockIdx.x * THREADS + threadIdx.x; e < (i64)n * K; e += gridDim.x * THREADS)
            all.of[m].out[e] = all.of[m].bias[e % K];
}

// Slices of a tile of rows and of W, from the place of the first one on.
struct ForwardFeed {
    const char* at[4];
    int origin[4];
    const float* w;
    int d, limit, K, columns;  // next column of x and the one to stop at; columns of W that are left
    Held x[4];
    float weight[2][4];

    __device__ __forceinline__ void ask(int, Slice<true>& to) {
        const unsigned t = threadIdx.x;
        for (int i = 0; i < 4; ++i) {
            if (COPY_ROWS)
                copy(&to.x[t / 4 + 32 * i][t % 4 * 4], at[i], d < limit);
            else
                fetch_row(at[i], origin[i], limit - d, x[i]);
            at[i] += bytes(origin[i], DEPTH);
        }
        const int r = d - t % 4 * 4 + t / 16;
        for (int i = 0; i < 2; ++i)
            if (COPY_WIDE)
                copy(&to.w[t / 16 + 8 * i][t % 16 * 4], w + i * 8 * K, r + 8 * i < limit && columns > 0);
            else
                fetch<KVEC>(w + i * 8 * K, r + 8 * i < limit ? columns : 0, weight[i]);
        d += DEPTH;
        w += DEPTH * K;
    }

    __device__ __forceinline__ void settle(int, Slice<true>& to) const {
        const unsigned t = threadIdx.x;
        for (int i = 0; i < 4 && !COPY_ROWS; ++i)
            *reinterpret_cast<Quad*>(&to.x[t / 4 + 32 * i][t % 4 * 4]) = widened(x[i], origin[i]);
        for (int i = 0; i < 2 && !COPY_WIDE; ++i)
            *reinterpret_cast<Quad*>(&to.w[t / 16 + 8 * i][t % 16 * 4]) = quad_at(weight[i]);
    }
};

// A tile's rows; those beyond the last one read the first, for nothing.
__device__ __forceinline__ void list_tile(const Modality& m, const int* rows, int first, int real, Row* list) {
    const unsigned t = threadIdx.x;
    list[t] = row_at(m, rows[first + t < real ? first + t : first], 0);
    __syncthreads();
}

__device__ __forceinline__ ForwardFeed forward_feed(const Modality& m, const Span& span, const Row* list, int K) {
    const unsigned t = threadIdx.x, k = span.column + t % 16 * 4;
    ForwardFeed feed;
    feed.w = m.wide + ((i64)span.from * DEPTH + t / 16) * K + k;
    feed.d = span.from * DEPTH + t % 4 * 4;
    feed.limit = min(m.D, span.to * DEPTH);
    feed.K = K;
    feed.columns = K - k;
    for (int i = 0; i < 4; ++i) {
        const Row& row = list[t / 4 + 32 * i];
        feed.origin[i] = row.origin;
        feed.at[i] = reinterpret_cast<const char*>(m.raw) + row.offset + bytes(row.origin, feed.d);
    }
    return feed;
}

// c (n, K) of each of `count` modalities.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
rows_forward(const Modalities all, int count, const int* __restrict__ rows, int n, int K, float* part,
             unsigned* ticket) {
    __shared__ Slice<true> slice[2];
    __shared__ Row list[TILE];
    __shared__ int found;
    __shared__ bool last;
    __shared__ Plan plan;
    __shared__ Span span;
    const int real = count_rows(rows, n, &found);
    if (threadIdx.x == 0) plan.set<true>(all, count, real, K);
    write_padding(all, count, real, n, K);
    __syncthreads();
    const int end = plan.begin(blockIdx.x + 1);
    float* own = part + threadIdx.x;
    for (int unit = plan.begin(blockIdx.x); unit < end; unit += span.to - span.from) {
        __syncthreads();
        if (threadIdx.x == 0) span.set<true>(plan, all, unit, end);
        __syncthreads();
        const Modality& m = all.of[span.modality];
        list_tile(m, rows, span.tile * TILE, plan.real, list);
        ForwardFeed feed = forward_feed(m, span, list, K);
        Results sum;
        clear(sum);
        accumulate(feed, span.to - span.from, slice, sum);
        keep(sum, {0, 0, 0, 0}, own + (i64)span.place(span.piece) * SUMS * THREADS);
        Group group;
        if (add_up(span, own, ticket, &last, group))
            write_rows(group, all.of[span.modality], list, span.tile * TILE, plan.real, span.column, K);
    }
}

// The places of the rows r ... end - 1 in the table, LISTED at most.
__device__ __forceinline__ void list_rows(const Modality& m, const int* rows, int r, int end, int d, Row* list) {
    __syncthreads();
#pragma unroll 1
    for (int j = threadIdx.x; j < LISTED + DEPTH; j += THREADS)
        list[j] = row_at(m, j < LISTED && r + j < end ? rows[r + j] : -1, d);
    __syncthreads();
}

// Slices of listed rows, TILE columns of each, and of the gradient g of c, times the rows' scale.
struct BackwardFeed {
    const Row* list;
    const char* base;  // the first row of `raw`, from this thread's columns on
    const float* g;
    int left, K, columns;  // columns of x and of g that are left
    Held x[4];
    float grad[2][4];
    Quad extra;  // sums of this thread's columns of g

    __device__ __forceinline__ void ask(int s, Slice<false>& to) {
        const unsigned t = threadIdx.x;
        for (int i = 0; i < 4; ++i) {
            const Row& row = list[s * DEPTH + t / 32 + 4 * i];
            const int more = bytes(row.origin, t % 32 * 4) - bytes(0, t % 32 * 4);
            const int there = row.origin == NOBODY ? 0 : left;
            if (COPY_ROWS)
                copy(&to.x[t / 32 + 4 * i][t % 32 * 4], base + row.offset, there > 0);
            else
                fetch_row(base + row.offset + more, row.origin, there, x[i]);
        }
        for (int i = 0; i < 2; ++i)
            fetch_now(g + i * 8 * K, list[s * DEPTH + t / 16 + 8 * i].origin == NOBODY ? 0 : columns, grad[i]);
        g += DEPTH * K;
    }

    __device__ __forceinline__ void settle(int s, Slice<false>& to) {
        const unsigned t = threadIdx.x;
        for (int i = 0; i < 4 && !COPY_ROWS; ++i)
            *reinterpret_cast<Quad*>(&to.x[t / 32 + 4 * i][t % 32 * 4]) =
                widened(x[i], list[s * DEPTH + t / 32 + 4 * i].origin);
        for (int i = 0; i < 2; ++i) {
            const float scale = list[s * DEPTH + t / 16 + 8 * i].scale;
            Quad scaled;
            for (int k = 0; k < 4; ++k) {
                scaled.v[k] = scale * grad[i][k];
                extra.v[k] += grad[i][k];
            }
            *reinterpret_cast<Quad*>(&to.w[t / 16 + 8 * i][t % 16 * 4]) = scaled;
        }
    }
};

// dW of a tile.
__device__ __forceinline__ void write_weight(const Group& group, const Modality& m, int first, int column, int K) {
#pragma unroll 1
    for (int i = 0; i < 8; ++i) {
        const int d = first + row_of<false>(i);
        float sum[8];
        group.add<8>(i * 8, sum);
        for (int h = 0; h < 8; h += 4)
            if (d < m.D) put(sum + h, column + column_of(h), K, m.out + (i64)d * K);
    }
}

// db: each column's sum in the 8 threads that have a share of it.
__device__ __forceinline__ void write_bias(const Group& group, float* shared, int column, int K, float* dbias) {
    const unsigned t = threadIdx.x;
    float extra[4];
    group.add<4>(64, extra);
    __syncthreads();
    for (int k = 0; k < 4; ++k)
        shared[t / 16 * WIDTH + t % 16 * 4 + k] = extra[k];
    __syncthreads();
    if (t >= WIDTH || column + t >= K) return;
    float total = 0;
    for (int i = 0; i < 8; ++i)
        total += shared[i * WIDTH + t];
    dbias[column + t] = total;
}

// From slice s on.
__device__ __forceinline__ BackwardFeed backward_feed(const Modality& m, const Span& span, int s, const Row* list,
                                                       int K, Quad extra) {
    const unsigned t = threadIdx.x, k = span.column + t % 16 * 4;
    BackwardFeed feed;
    feed.list = list;
    feed.base = reinterpret_cast<const char*>(m.raw) + bytes(0, t % 32 * 4);
    feed.g = m.wide + ((i64)s * DEPTH + t / 16) * K + k;
    feed.left = m.D - span.tile * TILE - t % 32 * 4;
    feed.K = K;
    feed.columns = K - k;
    feed.extra = extra;
    return feed;
}

// dW (D, K) and db (K) of each of `count` modalities.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
rows_backward(const Modalities all, int count, const int* __restrict__ rows, int n, int K, float* part,
              unsigned* ticket) {
    __shared__ Slice<false> slice[2];
    __shared__ Row list[LISTED + DEPTH];
    __shared__ int found;
    __shared__ bool last;
    __shared__ Plan plan;
    __shared__ Span span;
    const int real = count_rows(rows, n, &found);
    if (threadIdx.x == 0) plan.set<false>(all, count, real, K);
    __syncthreads();
    const int end = plan.begin(blockIdx.x + 1);
    float* own = part + threadIdx.x;
    for (int unit = plan.begin(blockIdx.x); unit < end; unit += span.to - span.from) {
        __syncthreads();
        if (threadIdx.x == 0) span.set<false>(plan, all, unit, end);
        __syncthreads();
        Results sum;
        Quad extra = {0, 0, 0, 0};
        clear(sum);
        for (int s = span.from; s < span.to; s += LISTED / DEPTH) {
            const Modality& m = all.of[span.modality];
            list_rows(m, rows, s * DEPTH, min(plan.real, span.to * DEPTH), span.tile * TILE, list);
            BackwardFeed feed = backward_feed(m, span, s, list, K, extra);
            accumulate(feed, min(span.to - s, LISTED / DEPTH), slice, sum);
            extra = feed.extra;
        }
        keep(sum, extra, own + (i64)span.place(span.piece) * SUMS * THREADS);
        Group group;
        if (!add_up(span, own, ticket, &last, group)) continue;
        const Modality& m = all.of[span.modality];
        write_weight(group, m, span.tile * TILE, span.column, K);
        if (span.tile == 0) write_bias(group, &slice[0].x[0][0], span.column, K, m.dbias);
    }
}
