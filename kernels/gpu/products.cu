// Products with rows of virtual feature tables, read where they lie (contract: reference/extract.py).
//
// A block computes a tile of TILE x WIDTH results, a thread 8 x 8 of them, over slices of DEPTH terms: the numbers of
// the next slice are on their way from memory while those of this one are multiplied. Where there are fewer tiles than
// the device needs, the terms are split between blocks, whose sums are added along a tree. So each result is one chain
// of additions in an order that shapes alone decide, whatever the timing. One launch serves all modalities.
#include "common.cuh"

#ifndef KVEC
#define KVEC 1
#endif

#define THREADS 128
#define TILE 128
#define WIDTH 64
#define DEPTH 16
#define STRETCH 4   // terms that are multiplied without a jump
#define LISTED 192  // rows of which a block keeps the places at a time, and a slice of nobody's behind them
#define FAN 4       // sums that a block adds at once
#define SUMS 17     // 16 bytes each: a thread's 8 x 8 results, and its share of the bias's gradient
#define MOST 8      // modalities of a launch
#define NOBODY 0x7fffffff
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
#define RESIDENT 2  // blocks of a multiprocessor at least: there a third would have too few registers
#else
#define RESIDENT 3
#endif

// A modality's table, what its rows are multiplied by, where the results go, and its blocks.
struct Modality {
    const Raw* raw;
    const float* fill;
    const int* source;
    const float* scale;
    const float* wide;  // W (D, K), or the gradient of c (n, K)
    const float* bias;
    float* out;  // c (n, K), or the gradient of W (D, K)
    float* dbias;
    i64 sums;  // the first of its kept sums
    int D, first, tiles, splits, nodes;  // its first block; tiles for a tile of columns; kept sums of a tile
};

struct Modalities {
    Modality of[MOST];  // those that are left over begin behind the last block
};

template <class T, int N>
struct alignas(N * sizeof(T)) Numbers {
    T v[N];
};
typedef Numbers<float, 4> Quad;
typedef float Results[8][8];

struct Slice {
    float x[DEPTH][TILE], w[DEPTH][WIDTH];
};

// Up to four numbers, N at an access; those beyond `left` are zero.
template <int N, class T, class To>
__device__ __forceinline__ void fetch(const T* at, int left, To* to, int count = 4) {
    for (int q = 0; q < count; q += N) {
        Numbers<T, N> part;
        for (int k = 0; k < N; ++k)
            part.v[k] = 0;
        if (q < left) part = *reinterpret_cast<const Numbers<T, N>*>(at + q);
        for (int k = 0; k < N; ++k)
            to[q + k] = part.v[k];
    }
}

// Four numbers of a row on their way from memory, as they are there: to widen them now would be to wait for them.
#if HALF
struct Held {
    unsigned bits[4];  // of a float16 each, or of two where an access moves more; or of a float32 of `fill`
};

__device__ __forceinline__ void fetch_half(const Raw* at, int left, Held& to) {
#if VEC > 1
    fetch<VEC / 2>(reinterpret_cast<const unsigned*>(at), left / 2, to.bits, 2);
#else
    fetch<1>(at, left, to.bits);
#endif
}

__device__ __forceinline__ float widened_half(const Held& from, int k) {
    return widen(Raw(VEC > 1 ? from.bits[k / 2] >> k % 2 * 16 : from.bits[k]));
}
#else
struct Held {
    float full[4];
};
#endif

// A row of the virtual table. `offset` leads from the table's `raw` there, to `fill` too where `origin` < 0: so the
// compiler sees that it is global memory.
struct Row {
    i64 offset;  // bytes
    int origin;
    float scale;
};

// Bytes of `count` numbers of a row.
__device__ __forceinline__ int bytes(int origin, int count) {
    return count * (origin < 0 ? sizeof(float) : sizeof(Raw));
}

__device__ __forceinline__ void fetch_row(const char* at, int origin, int left, Held& to) {
#if HALF
    if (origin >= 0) return fetch_half(reinterpret_cast<const Raw*>(at), left, to);
    fetch<VEC>(reinterpret_cast<const unsigned*>(at), left, to.bits);
#else
    fetch<VEC>(reinterpret_cast<const float*>(at), left, to.full);
#endif
}

// Row `item`, from column d on; the origin is NOBODY where there is none.
__device__ __forceinline__ Row row_at(const Modality& m, int item, int d) {
    if (item < 0) return {0, NOBODY, 0.0f};
    const int origin = m.source[item];
    const i64 place = (i64)(origin < 0 ? ~origin : origin) * m.D + d;
    i64 offset = place * sizeof(Raw);
    if (origin < 0) offset = reinterpret_cast<i64>(m.fill + place) - reinterpret_cast<i64>(m.raw);
    return {offset, origin, m.scale[item]};
}

__device__ __forceinline__ Quad widened(const Held& from, int origin) {
    Quad to;
    for (int k = 0; k < 4; ++k)
#if HALF
        to.v[k] = origin < 0 ? __int_as_float(int(from.bits[k])) : widened_half(from, k);
#else
        to.v[k] = from.full[k];
#endif
    return to;
}

// A lane's place in the 8 x 4 lanes of a warp's 64 x 32 results. Neighbours share a column's numbers, or a row's: then
// shared memory serves 16 lanes at a time.
__device__ __forceinline__ int first_row() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    return warp / 2 * 64 + ((lane >> 1 & 3) + (lane >> 4) * 4) * 4;
}

__device__ __forceinline__ int first_column() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    return warp % 2 * 32 + ((lane & 1) + (lane >> 3 & 1) * 2) * 4;
}

// Place in a tile of a thread's i-th row, or column: two times four that lie together.
__device__ __forceinline__ int row_of(int i) {
    return first_row() + i / 4 * 32 + i % 4;
}

__device__ __forceinline__ int column_of(int j) {
    return first_column() + j / 4 * 16 + j % 4;
}

// In the forward product, x is turned on its way to shared memory. What four lanes then write would fall on the same
// banks, so the columns of every fourth row are rotated among 32.
__device__ __forceinline__ int turned(int d, int row) {
    return row ^ (d / 4 % 4 * 8);
}

// Adds STRETCH terms from term `begin` on.
template <bool TURNED>
__device__ __forceinline__ void multiply_stretch(const Slice& slice, int begin, int row, int column, Results& sum) {
#pragma unroll
    for (int d = begin; d < begin + STRETCH; ++d) {
        const int start = TURNED ? turned(begin, row) : row;
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
    for (int d = 0; d < DEPTH; d += STRETCH)
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

// Adds up the sums of a tile's splits, FAN at a time, and these again. True, with the whole sum, in one block of them.
__device__ __forceinline__ bool add_up(const Work& mine, const Modalities& all, Quad* part, unsigned* ticket, bool* last,
                                       Results& sum, Quad& extra) {
    part += mine.sums * SUMS * THREADS;
    ticket += mine.sums;
    for (int count = all.of[mine.modality].splits, at = mine.split; count > 1; count = (count + FAN - 1) / FAN, at /= FAN) {
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

// c = scale (row W) + b of a tile's rows; b alone in rows of nobody.
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
    if (item >= 0) somebody = t;  // whichever wins: rows of nobody read a row that is there, for nothing
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
    if (add_up(mine, all, part, ticket, &last, sum, none))
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
// slices s, s + splits, ... of the rows, so that all have the same share of the rows of nobody at the end.
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
    if (!add_up(mine, all, part, ticket, &last, sum, feed.extra)) return;
    const Modality& done = all.of[mine.modality];
    write_weight(sum, done, mine.tile * TILE, mine.column, K);
    if (mine.tile == 0) write_bias(feed.extra, &slice[0].x[0][0], mine.column, K, done.dbias);
}
