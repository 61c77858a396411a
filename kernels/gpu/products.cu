// Products with rows of a virtual feature table, read where they lie (contract: reference/extract.py).
//
// A block computes a tile of TILE x WIDTH results, a thread 8 x 8 of them, over slices of DEPTH terms: the numbers of
// the next slice are on their way from memory while those of this one are multiplied. Where there are fewer tiles than
// the device needs, the terms are split between blocks, whose sums are added along a tree. So each result is one chain
// of additions in an order that shapes alone decide, whatever the timing.
#include "common.cuh"

#ifndef KVEC
#define KVEC 1
#endif

#define THREADS 128
#define TILE 128
#define WIDTH 64
#define DEPTH 16
#define STRETCH 4        // terms that are multiplied without a jump
#define LISTED 192       // rows of which a block keeps the places at a time, and a slice of nobody's behind them
#define FAN 4            // sums that a block adds at once
#define SUMS 17          // 16 bytes each: a thread's 8 x 8 results, and its share of the bias's gradient
#define NOBODY 0x7fffffff

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
__device__ __forceinline__ void fetch(const T* at, i64 left, To* to, int count = 4) {
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

__device__ __forceinline__ void fetch_half(const Raw* at, i64 left, Held& to) {
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

// A row of the virtual table: a place in `raw`, or in `fill` where `origin` < 0.
struct Row {
    const void* at;
    int origin;
};

__device__ __forceinline__ Row row_at(const Raw* raw, const float* fill, int origin, int D) {
    const i64 place = (i64)(origin < 0 ? ~origin : origin) * D;
    if (origin < 0) return {fill + place, origin};
    return {raw + place, origin};
}

__device__ __forceinline__ void fetch_row(Row row, i64 d, i64 left, Held& to) {
#if HALF
    if (row.origin >= 0) return fetch_half(static_cast<const Raw*>(row.at) + d, left, to);
    fetch<VEC>(static_cast<const unsigned*>(row.at) + d, left, to.bits);
#else
    fetch<VEC>(static_cast<const float*>(row.at) + d, left, to.full);
#endif
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

// Adds up a tile's sums of `splits` blocks, FAN at a time, and these again. True, with the whole sum, in one block.
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

// c = scale (row W) + b of a tile's rows; b alone in rows of nobody.
__device__ __forceinline__ void write_rows(const Results& sum, const int* rows, const float* scale, const float* bias,
                                           int first, int column, int n, int K, float* out) {
    for (int i = 0; i < 8; ++i) {
        const int r = first + row_of(i);
        if (r >= n) continue;
        const int item = rows[r];
        const float factor = item < 0 ? 0.0f : scale[item];
        for (int h = 0; h < 8; h += 4) {
            const int k = column + column_of(h);
            float result[4];
            for (int j = 0; j < 4; ++j) {
                const float b = k + j < K ? bias[k + j] : 0.0f;
                result[j] = item < 0 ? b : factor * sum[i][h + j] + b;
            }
            put(result, k, K, out + (i64)r * K);
        }
    }
}

// Grid (tiles of rows, splits, tiles of columns): out (n, K). A split takes its share of the slices of a row.
extern "C" __global__ void __launch_bounds__(THREADS, 3)
rows_forward(const Raw* __restrict__ raw, const float* __restrict__ fill, const int* __restrict__ source,
             const float* __restrict__ scale, const int* __restrict__ rows, const float* __restrict__ weight,
             const float* __restrict__ bias, int n, int D, int K, int nodes, Quad* part, unsigned* ticket,
             float* out) {
    __shared__ Slice slice[2];
    __shared__ bool last;
    __shared__ int origins[TILE], somebody;
    const int first = blockIdx.x * TILE, column = blockIdx.z * WIDTH, t = threadIdx.x;
    const int item = first + t < n ? rows[first + t] : -1;
    origins[t] = item < 0 ? NOBODY : source[item];
    if (t == 0) somebody = NOBODY;
    __syncthreads();
    if (item >= 0) somebody = origins[t];  // whichever wins: rows of nobody read a row that is there, for nothing
    __syncthreads();
    Results sum;
    Quad extra = {0, 0, 0, 0};
    clear(sum);
    if (somebody == NOBODY) {
        if (blockIdx.y == 0) write_rows(sum, rows, scale, bias, first, column, n, K, out);
        return;
    }
    Row row[4];
    for (int i = 0; i < 4; ++i) {
        const int origin = origins[t / 4 + 32 * i];
        row[i] = row_at(raw, fill, origin == NOBODY ? somebody : origin, D);
    }
    const int slices = (D + DEPTH - 1) / DEPTH;
    const int begin = (i64)slices * blockIdx.y / gridDim.y, end = (i64)slices * (blockIdx.y + 1) / gridDim.y;
    const int own_d = t % 4 * 4, own_k = t % 16 * 4;
    Held x[4];
    float w[2][4];
    const auto ask = [&](int s) {
        const int d = s * DEPTH + own_d, limit = s < end ? D : 0;
        for (int i = 0; i < 4; ++i)
            fetch_row(row[i], d, limit - d, x[i]);
        for (int i = 0; i < 2; ++i) {
            const int r = s * DEPTH + t / 16 + 8 * i, k = column + own_k;
            fetch<KVEC>(weight + (i64)r * K + k, r < limit ? K - k : 0, w[i]);
        }
    };
    const auto settle = [&](Slice& to) {
        for (int i = 0; i < 4; ++i) {
            const Quad quad = widened(x[i], row[i].origin);
            for (int k = 0; k < 4; ++k)
                to.x[own_d + k][turned(own_d, t / 4 + 32 * i)] = quad.v[k];
        }
        for (int i = 0; i < 2; ++i)
            *reinterpret_cast<Quad*>(&to.w[t / 16 + 8 * i][own_k]) = {w[i][0], w[i][1], w[i][2], w[i][3]};
    };
    ask(begin);
    settle(slice[begin & 1]);
    for (int s = begin; s < end; ++s) {
        __syncthreads();
        ask(s + 1);  // after the last slice nothing: a branch would let the compiler put it behind the multiplication
        multiply<true>(slice[s & 1], sum);
        settle(slice[s & 1 ^ 1]);
    }
    const i64 tile = blockIdx.x + (i64)blockIdx.z * gridDim.x;
    part += tile * nodes * SUMS * THREADS;
    if (add_up(blockIdx.y, gridDim.y, part, ticket + tile * nodes, &last, sum, extra))
        write_rows(sum, rows, scale, bias, first, column, n, K, out);
}

// The places of a split's next LISTED rows in the table, and how many slices of them there are: `used`.
__device__ __forceinline__ void list_rows(const int* source, const float* scale, const int* rows, int begin, int n,
                                          int* origins, float* scales, int* used) {
    for (int j = threadIdx.x; j < LISTED + DEPTH; j += THREADS) {
        const i64 r = (begin + (i64)(j / DEPTH) * gridDim.y) * DEPTH + j % DEPTH;
        const int item = j < LISTED && r < n ? rows[r] : -1;
        origins[j] = item < 0 ? NOBODY : source[item];
        scales[j] = item < 0 ? 0.0f : scale[item];
        if (item >= 0) atomicMax(used, j / DEPTH + 1);
    }
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

// Grid (tiles of d, splits, tiles of columns): dweight (D, K) and dbias (K). Split s takes the slices s, s + splits, ...
// of the rows, so that all have the same share of the rows of nobody at the end.
extern "C" __global__ void __launch_bounds__(THREADS, 3)
rows_backward(const Raw* __restrict__ raw, const float* __restrict__ fill, const int* __restrict__ source,
              const float* __restrict__ scale, const int* __restrict__ rows, const float* __restrict__ dout, int n,
              int D, int K, int nodes, Quad* part, unsigned* ticket, float* dweight, float* dbias) {
    __shared__ Slice slice[2];
    __shared__ bool last;
    __shared__ int origins[LISTED + DEPTH], used;
    __shared__ float scales[LISTED + DEPTH];
    const int t = threadIdx.x, first = blockIdx.x * TILE, column = blockIdx.z * WIDTH, splits = gridDim.y;
    const int slices = (n + DEPTH - 1) / DEPTH, own_d = t % 32 * 4, own_k = t % 16 * 4;
    Results sum;
    Quad extra = {0, 0, 0, 0};
    clear(sum);
    Held x[4];
    float g[2][4];
    for (int begin = blockIdx.y; begin < slices; begin += splits * (LISTED / DEPTH)) {
        const auto ask = [&](int s) {
            for (int i = 0; i < 4; ++i) {
                const int origin = origins[s * DEPTH + t / 32 + 4 * i], d = first + own_d;
                const bool real = origin != NOBODY;
                fetch_row(row_at(raw, fill, real ? origin : 0, D), d, real ? D - d : 0, x[i]);
            }
            for (int i = 0; i < 2; ++i) {
                const int j = t / 16 + 8 * i, k = column + own_k;
                const i64 r = ((i64)begin + (i64)s * splits) * DEPTH + j;
                fetch<KVEC>(dout + r * K + k, origins[s * DEPTH + j] != NOBODY ? K - k : 0, g[i]);
            }
        };
        const auto settle = [&](int s, Slice& to) {
            for (int i = 0; i < 4; ++i) {
                const int j = s * DEPTH + t / 32 + 4 * i;
                Quad quad = widened(x[i], origins[j] == NOBODY ? 0 : origins[j]);
                for (int k = 0; k < 4; ++k)
                    quad.v[k] *= scales[j];
                *reinterpret_cast<Quad*>(&to.x[t / 32 + 4 * i][own_d]) = quad;
            }
            for (int i = 0; i < 2; ++i) {
                *reinterpret_cast<Quad*>(&to.w[t / 16 + 8 * i][own_k]) = {g[i][0], g[i][1], g[i][2], g[i][3]};
                for (int k = 0; k < 4; ++k)
                    extra.v[k] += g[i][k];
            }
        };
        __syncthreads();
        if (t == 0) used = 0;
        __syncthreads();
        list_rows(source, scale, rows, begin, n, origins, scales, &used);
        __syncthreads();
        const int count = used;
        ask(0);
        settle(0, slice[0]);
        for (int s = 0; s < count; ++s) {
            __syncthreads();
            ask(s + 1);
            multiply<false>(slice[s & 1], sum);
            settle(s + 1, slice[s & 1 ^ 1]);
        }
    }
    const i64 tile = blockIdx.x + (i64)blockIdx.z * gridDim.x;
    part += tile * nodes * SUMS * THREADS;
    if (!add_up(blockIdx.y, splits, part, ticket + tile * nodes, &last, sum, extra)) return;
    for (int i = 0; i < 8; ++i)
        for (int h = 0; h < 8; h += 4)
            if (first + row_of(i) < D)
                put(&sum[i][h], column + column_of(h), K, dweight + (i64)(first + row_of(i)) * K);
    if (blockIdx.x == 0) write_bias(extra, &slice[0].x[0][0], column, K, dbias);
}
