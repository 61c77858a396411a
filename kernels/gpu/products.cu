// Products with rows of virtual feature tables, read where they lie (contract: reference/extract.py).
//
// A block computes a tile of TILE x WIDTH results, a thread 8 x 8 of them, over slices of DEPTH terms: the numbers of
// the next slice are on their way from memory while those of this one are multiplied. Where there are fewer tiles than
// the device needs, the terms are split between blocks, whose sums are added along a tree. So each result is one chain
// of additions in an order that shapes alone decide, whatever the timing. One launch serves all modalities.
#include "common.cuh"
#include "half.cuh"
#include "rows.cuh"
#include "tiles.cuh"

#define LISTED 512  // rows whose places a block keeps at a time, followed by a slice of padding rows
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
#define RESIDENT 2  // blocks of a multiprocessor at least: there a third would have too few registers
#else
#define RESIDENT 3
#endif

// A block's modality, and its tile, columns and share of the terms there. In shared memory, for want of registers.
struct Work {
    int modality, tile, split, column;
    i64 sums;
};

__device__ __forceinline__ Work work(const Modalities& all) {
    int modality = 0;
    while (modality + 1 < MOST && all.of[modality + 1].first <= int(blockIdx.x)) ++modality;
    const Modality& m = all.of[modality];
    const int index = blockIdx.x - m.first, tile = index % m.tiles, rest = index / m.tiles, split = rest % m.splits;
    const i64 whole = (i64)(rest / m.splits) * m.tiles + tile;
    return {modality, tile, split, rest / m.splits * WIDTH, m.sums + whole * m.nodes};
}

// Adds up what the splits of a block's tile have; see tiles.cuh.
__device__ __forceinline__ bool add_splits(const Work& mine, const Modalities& all, Quad* part, unsigned* ticket,
                                           bool* last, Results& sum, Quad& extra) {
    part += mine.sums * SUMS * THREADS;
    return add_up(mine.split, all.of[mine.modality].splits, part, ticket + mine.sums, last, sum, extra);
}

// c = scale (row W) + b of a tile's rows; b alone in padding rows.
__device__ __forceinline__ void write_rows(const Results& sum, const Modality& m, const int* rows, int first,
                                           int column, int n, int K) {
    for (int i = 0; i < 8; ++i) {
        const int r = first + row_of(i);
        if (r >= n) continue;
        const int item = rows[r];
        const float factor = item < 0 ? 0.0f : m.scale[item];
        for (int h = 0; h < 8; h += 4) {
            const int k = column + column_of(h);
            float result[4];
            for (int j = 0; j < 4; ++j) {
                const float b = k + j < K ? m.bias[k + j] : 0.0f;
                result[j] = item < 0 ? b : factor * sum[i][h + j] + b;
            }
            put(result, k, K, m.out + (i64)r * K);
        }
    }
}

// Slices of a tile of rows, turned, and of W, from the place of the first one on.
struct ForwardFeed {
    static const bool TURNED = true;
    const char* at[4];
    int origin[4];
    const float* w;
    int d, limit, K, columns;  // next column of x and the one to stop at; columns of W that are left
    Held x[4];
    float weight[2][4];

    __device__ __forceinline__ void ask(int) {
        const int t = threadIdx.x;
        for (int i = 0; i < 4; ++i) {
            fetch_row(at[i], origin[i], limit - d, x[i]);
            at[i] += bytes(origin[i], DEPTH);
        }
        const int r = d - t % 4 * 4 + t / 16;
        for (int i = 0; i < 2; ++i)
            fetch<KVEC>(w + i * 8 * K, r + 8 * i < limit ? columns : 0, weight[i]);
        d += DEPTH;
        w += DEPTH * K;
    }

    __device__ __forceinline__ void settle(int, Slice& to) const {
        const int t = threadIdx.x, own_d = t % 4 * 4;
        for (int i = 0; i < 4; ++i) {
            const Quad quad = widened(x[i], origin[i]);
            for (int k = 0; k < 4; ++k)
                to.x[own_d + k][turned(own_d, t / 4) + 32 * i] = quad.v[k];
        }
        for (int i = 0; i < 2; ++i)
            *reinterpret_cast<Quad*>(&to.w[t / 16 + 8 * i][t % 16 * 4]) = {weight[i][0], weight[i][1], weight[i][2],
                                                                          weight[i][3]};
    }
};

// Blocks (modalities, columns, splits, tiles of rows): c (n, K) of each modality. A split takes its share of a row.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
rows_forward(const Modalities all, const int* __restrict__ rows, int n, int K, Quad* part, unsigned* ticket) {
    __shared__ Slice slice[2];
    __shared__ Row list[TILE];
    __shared__ int somebody;
    __shared__ bool last;
    __shared__ Work mine;
    if (threadIdx.x == 0) mine = work(all);
    __syncthreads();
    const Modality& m = all.of[mine.modality];
    const int first = mine.tile * TILE, t = threadIdx.x;
    const int item = first + t < n ? rows[first + t] : -1;
    list[t] = row_at(m, item, 0);
    if (t == 0) somebody = -1;
    __syncthreads();
    if (item >= 0) atomicMax(&somebody, t);  // the row that padding rows read, without effect
    __syncthreads();
    Results sum;
    Quad none = {0, 0, 0, 0};
    clear(sum);
    if (somebody < 0) {
        if (mine.split == 0) write_rows(sum, m, rows, first, mine.column, n, K);
        return;
    }
    const int slices = (m.D + DEPTH - 1) / DEPTH, begin = (i64)slices * mine.split / m.splits;
    const int end = (i64)slices * (mine.split + 1) / m.splits, k = mine.column + t % 16 * 4;
    ForwardFeed feed;
    feed.w = m.wide + ((i64)begin * DEPTH + t / 16) * K + k;
    feed.d = begin * DEPTH + t % 4 * 4;
    feed.limit = min(m.D, end * DEPTH);
    for (int i = 0; i < 4; ++i) {
        const Row& own = list[t / 4 + 32 * i];
        const Row& row = own.origin == NOBODY ? list[somebody] : own;
        feed.origin[i] = row.origin;
        feed.at[i] = reinterpret_cast<const char*>(m.raw) + row.offset + bytes(row.origin, feed.d);
    }
    feed.K = K;
    feed.columns = K - k;
    accumulate(feed, end - begin, slice, sum);
    if (add_splits(mine, all, part, ticket, &last, sum, none))
        write_rows(sum, all.of[mine.modality], rows, mine.tile * TILE, mine.column, n, K);
}

// The places of a split's next LISTED rows in the table, and how many slices of them there are: `used`.
__device__ __forceinline__ void list_rows(const Modality& m, const int* rows, i64 slice, int n, int d, Row* list,
                                          int* used) {
    __syncthreads();
    if (threadIdx.x == 0) *used = 0;
    __syncthreads();
    for (int j = threadIdx.x; j < LISTED + DEPTH; j += THREADS) {
        const i64 r = (slice + j / DEPTH * m.splits) * DEPTH + j % DEPTH;
        const int item = j < LISTED && r < n ? rows[r] : -1;
        list[j] = row_at(m, item, d);
        if (item >= 0) atomicMax(used, j / DEPTH + 1);
    }
    __syncthreads();
}

// Slices of listed rows, TILE columns of each, and of the gradient g of c, times the rows' scale.
struct BackwardFeed {
    static const bool TURNED = false;
    const Row* list;
    const char* base;  // the first row of `raw`, from this thread's columns on
    const float* g;
    int step, left, K, columns;  // to the next slice in g; columns of x and of g that are left
    Held x[4];
    float grad[2][4];
    Quad extra;  // sums of this thread's columns of g

    __device__ __forceinline__ void ask(int s) {
        const int t = threadIdx.x;
        for (int i = 0; i < 4; ++i) {
            const Row& row = list[s * DEPTH + t / 32 + 4 * i];
            const int more = bytes(row.origin, t % 32 * 4) - bytes(0, t % 32 * 4);
            fetch_row(base + row.offset + more, row.origin, row.origin == NOBODY ? 0 : left, x[i]);
        }
        for (int i = 0; i < 2; ++i)
            fetch<KVEC>(g + i * 8 * K, list[s * DEPTH + t / 16 + 8 * i].origin == NOBODY ? 0 : columns, grad[i]);
        g += step;
    }

    __device__ __forceinline__ void settle(int s, Slice& to) {
        const int t = threadIdx.x;
        for (int i = 0; i < 4; ++i)
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
__device__ __forceinline__ void write_weight(const Results& sum, const Modality& m, int first, int column, int K) {
    for (int i = 0; i < 8; ++i)
        for (int h = 0; h < 8; h += 4)
            if (first + row_of(i) < m.D)
                put(&sum[i][h], column + column_of(h), K, m.out + (i64)(first + row_of(i)) * K);
}

// db: each column's sum in the 8 threads that have a share of it.
__device__ __forceinline__ void write_bias(const Quad& extra, float* shared, int column, int K, float* dbias) {
    const int t = threadIdx.x;
    __syncthreads();
    for (int k = 0; k < 4; ++k)
        shared[t / 16 * WIDTH + t % 16 * 4 + k] = extra.v[k];
    __syncthreads();
    if (t >= WIDTH || column + t >= K) return;
    float total = 0;
    for (int i = 0; i < 8; ++i)
        total += shared[i * WIDTH + t];
    dbias[column + t] = total;
}

// Blocks (modalities, columns, splits, tiles of x's columns): dW (D, K) and db (K) of each modality. Split s takes the
// slices s, s + splits, ... of the rows, so that all have the same share of the padding rows at the end.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
rows_backward(const Modalities all, const int* __restrict__ rows, int n, int K, Quad* part, unsigned* ticket) {
    __shared__ Slice slice[2];
    __shared__ Row list[LISTED + DEPTH];
    __shared__ int used;
    __shared__ bool last;
    __shared__ Work mine;
    if (threadIdx.x == 0) mine = work(all);
    __syncthreads();
    const Modality& m = all.of[mine.modality];
    const int t = threadIdx.x, first = mine.tile * TILE, slices = (n + DEPTH - 1) / DEPTH;
    const int k = mine.column + t % 16 * 4;
    Results sum;
    clear(sum);
    BackwardFeed feed;
    feed.extra = {0, 0, 0, 0};
    feed.list = list;
    feed.base = reinterpret_cast<const char*>(m.raw) + bytes(0, t % 32 * 4);
    feed.left = m.D - first - t % 32 * 4;
    feed.K = K;
    feed.columns = K - k;
    feed.step = m.splits * DEPTH * K;
    for (i64 begin = mine.split; begin < slices; begin += m.splits * (LISTED / DEPTH)) {
        list_rows(m, rows, begin, n, first, list, &used);
        feed.g = m.wide + (begin * DEPTH + t / 16) * K + k;
        accumulate(feed, used, slice, sum);
    }
    if (!add_splits(mine, all, part, ticket, &last, sum, feed.extra)) return;
    const Modality& done = all.of[mine.modality];
    write_weight(sum, done, mine.tile * TILE, mine.column, K);
    if (mine.tile == 0) write_bias(feed.extra, &slice[0].x[0][0], mine.column, K, done.dbias);
}
