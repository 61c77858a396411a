// Users as profiles of their own items (contract: reference/histories.py).
//
// How many items a batch's histories hold is known to the device alone. Arrays have room for as many as there may be,
// and what is transposed is a row of bits for each item, one for each of the batch's users: no list has to be sorted for
// its sum to have one order, and a step launches the same kernels on arrays of the same sizes.
#include "common.cuh"

#define THREADS 256
#include "scan.cuh"
#define RUN 16               // items that a thread numbers
#define SPAN (RUN * THREADS)  // and a block
#define NONE -1
#define WANTED -2  // in the place of an item of a history that no triplet has

// No item has a place.
extern "C" __global__ void clear_places(int* places, i64 items) {
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < items) places[at] = NONE;
}

struct Range {
    i64 begin, end;
};

// The history of a batch's distinct user; empty for nobody.
__device__ __forceinline__ Range history_of(const i64* indptr, int user) {
    if (user < 0) return {0, 0};
    return {indptr[user], indptr[user + 1]};
}

// Places of the triplets' distinct items, `unique` (rows), and which other items are wanted. A block is a user; those
// behind all users have the triplets' items. Whatever comes first, an item of a triplet gets its row.
extern "C" __global__ void __launch_bounds__(THREADS)
mark_items(const i64* __restrict__ indptr, const int* __restrict__ history, const int* __restrict__ users, int n_users,
           const int* __restrict__ unique, int rows, int* places, int* lengths) {
    const int block = blockIdx.x;
    if (block >= n_users) {
        const int r = (block - n_users) * THREADS + threadIdx.x;
        if (r < rows && unique[r] >= 0) atomicExch(&places[unique[r]], r);
        return;
    }
    const Range own = history_of(indptr, users[block]);
    if (threadIdx.x == 0) lengths[block] = int(own.end - own.begin);
    for (i64 at = own.begin + threadIdx.x; at < own.end; at += THREADS) {
        volatile int* place = places + history[at];
        if (*place == NONE) atomicCAS(places + history[at], NONE, WANTED);
    }
}

// Wanted items among those of this thread.
__device__ __forceinline__ int count_run(const int* places, i64 first, i64 items) {
    int count = 0;
    for (i64 item = first; item < min(items, first + RUN); ++item)
        count += places[item] == WANTED;
    return count;
}

__device__ __forceinline__ i64 first_of_run() {
    return (i64)blockIdx.x * SPAN + threadIdx.x * RUN;
}

// How many items of each block's span are wanted.
extern "C" __global__ void __launch_bounds__(THREADS) count_wanted(const int* __restrict__ places, i64 items, int* part) {
    __shared__ int parts[32];
    int total;
    sum_before(count_run(places, first_of_run(), items), parts, &total);
    if (threadIdx.x == 0) part[blockIdx.x] = total;
}

// Sum of the first `count` of `part`, in all threads.
__device__ __forceinline__ int sum_first(const int* part, int count, int* parts) {
    int mine = 0, total;
    for (int at = threadIdx.x; at < count; at += THREADS)
        mine += part[at];
    sum_before(mine, parts, &total);
    __syncthreads();
    return total;
}

// Distinct ones of `unique` (rows), behind which there is nobody.
__device__ __forceinline__ int distinct(const int* unique, int rows) {
    int low = 0, high = rows;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (unique[middle] >= 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

// All items to extract, `all` (room): those of the triplets, then the wanted ones in their order, then nobody; and where
// their groups of triplets end, `ends` (room + 1), `last` for those that have none.
extern "C" __global__ void __launch_bounds__(THREADS)
number_items(const int* __restrict__ part, i64 items, const int* __restrict__ unique, const int* __restrict__ start,
             int rows, int last, int room, int* places, int* all, int* ends) {
    __shared__ int parts[32];
    const int before = sum_first(part, blockIdx.x, parts), wanted = sum_first(part, gridDim.x, parts);
    const int own = distinct(unique, rows);
    int ignored, row = own + before;
    row += sum_before(count_run(places, first_of_run(), items), parts, &ignored);
    for (i64 item = first_of_run(); item < min(items, first_of_run() + RUN); ++item)
        if (places[item] == WANTED) {
            all[row] = int(item);
            places[item] = row++;
        }
    for (i64 r = (i64)blockIdx.x * THREADS + threadIdx.x; r <= room; r += (i64)gridDim.x * THREADS) {
        ends[r] = r <= rows ? start[r] : last;
        if (r < own) all[r] = unique[r];
        else if (r >= own + wanted && r < room) all[r] = NONE;
    }
}

__device__ __forceinline__ void add(Pack& sum, const Pack& more) {
    for (int e = 0; e < VEC; ++e)
        sum.v[e] += more.v[e];
}

__device__ __forceinline__ void subtract(Pack& sum, const Pack& less) {
    for (int e = 0; e < VEC; ++e)
        sum.v[e] -= less.v[e];
}

// out (n_u, K): row s sums h over the history of user s, a block each. Groups of lanes take every so many-th item, and
// their sums are added in order.
extern "C" __global__ void __launch_bounds__(THREADS)
sum_histories(const Real* __restrict__ h, const i64* __restrict__ indptr, const int* __restrict__ history,
              const int* __restrict__ users, const int* __restrict__ places, Real* out, int K, int lanes) {
    __shared__ Pack parts[THREADS];
    const int group = threadIdx.x / lanes, groups = THREADS / lanes;
    const Range own = history_of(indptr, users[blockIdx.x]);
    for (int first = 0; first < K; first += lanes * VEC) {
        const int k = first + my_lane(lanes) * VEC;
        Pack sum = {};
        if (k < K)
#pragma unroll 2
            for (i64 at = own.begin + group; at < own.end; at += groups)
                add(sum, load(h + (i64)places[history[at]] * K + k));
        parts[threadIdx.x] = sum;
        __syncthreads();
        for (int g = 1; group == 0 && g < groups; ++g)
            add(sum, parts[threadIdx.x + g * lanes]);
        if (group == 0 && k < K) store(out + (i64)blockIdx.x * K + k, sum);
        __syncthreads();
    }
}

// out (n, K): row s sums the rows index[start[s]] ... of the table; an index of -1 adds nothing.
extern "C" __global__ void sum_rows(const Real* __restrict__ table, const int* __restrict__ start,
                                    const int* __restrict__ index, Real* out, i64 n, int K, int lanes) {
    const i64 s = my_row(lanes);
    if (s >= n) return;
    for (int k = my_lane(lanes) * VEC; k < K; k += lanes * VEC) {
        Pack sum = {};
        for (int at = start[s]; at < start[s + 1]; ++at)
            if (index[at] >= 0) add(sum, load(table + (i64)index[at] * K + k));
        store(out + s * K + k, sum);
    }
}

// Bit s % 32 of word s / 32 in the row of every item of user `first` + s, a block each. Rows have `words` words.
extern "C" __global__ void __launch_bounds__(THREADS)
mark_owners(const i64* __restrict__ indptr, const int* __restrict__ history, const int* __restrict__ users,
            const int* __restrict__ places, int first, int words, unsigned* bits) {
    const Range own = history_of(indptr, users[first + blockIdx.x]);
    for (i64 at = own.begin + threadIdx.x; at < own.end; at += THREADS)
        atomicOr(&bits[(i64)places[history[at]] * words + blockIdx.x / 32], 1u << blockIdx.x % 32);
}

struct alignas(16) Words {
    unsigned v[4];
};

// Takes from `sum` the rows of `users` that the bits of a word stand for.
__device__ __forceinline__ void take(unsigned word, const Real* users, int K, Pack& sum) {
    for (; word; word &= word - 1)
        subtract(sum, load(users + (i64)(__ffs(int(word)) - 1) * K));
}

// out (n, K): gradient of h. Row r sums `left` over the triplets whose positive it is, less `users` (n_u, K), the sums
// over their triplets, of those that own it: of users `first` and the next, whose `bits` are cleared. With the first
// users come the triplets; later ones add to what is there.
extern "C" __global__ void sum_owners(const Real* __restrict__ left, const Real* __restrict__ users,
                                      const int* __restrict__ start, const int* __restrict__ order, unsigned* bits,
                                      int words, int first, int B, i64 n, int K, int lanes, Real* out) {
    const i64 r = my_row(lanes);
    const bool mine = r < n;
    users += (i64)first * K;
    for (int k = my_lane(lanes) * VEC; mine && k < K; k += lanes * VEC) {
        Pack sum = {};
        if (first) sum = load(out + r * K + k);
        for (int at = start[r]; !first && at < start[r + 1]; ++at)
            if (order[at] < B) add(sum, load(left + (i64)order[at] * K + k));
        for (int word = 0; word < words; word += 4) {
            const Words four = *reinterpret_cast<const Words*>(bits + r * words + word);
            for (int i = 0; i < 4; ++i)
                take(four.v[i], users + (i64)(word + i) * 32 * K + k, K, sum);
        }
        store(out + r * K + k, sum);
    }
    __syncwarp();  // every lane has read the row's bits
    for (int word = my_lane(lanes); mine && word < words; word += lanes)
        if (bits[r * words + word]) bits[r * words + word] = 0;
}

// One over the number of an item's modalities; 0 for nobody.
__device__ __forceinline__ Real share_of(const bool* owned, int item, int M) {
    int count = 0;
    for (int m = 0; item >= 0 && m < M; ++m)
        count += owned[(i64)item * M + m];
    return item < 0 ? Real(0) : Real(1.0 / max(count, 1));
}

// out (n, K): mean of c (M, n, K) over the modalities that each item owns.
extern "C" __global__ void owned_mean(const Real* __restrict__ c, const int* __restrict__ rows,
                                      const bool* __restrict__ owned, i64 n, int M, int K, int lanes, Real* out) {
    const i64 r = my_row(lanes);
    if (r >= n) return;
    const i64 item = rows[r];
    const Real share = share_of(owned, rows[r], M);
    for (int k = my_lane(lanes) * VEC; k < K; k += lanes * VEC) {
        Pack mean = {};
        for (int m = 0; item >= 0 && m < M; ++m) {
            if (!owned[item * M + m]) continue;
            const Pack x = load(c + (m * n + r) * K + k);
            for (int e = 0; e < VEC; ++e)
                mean.v[e] += share * x.v[e];
        }
        store(out + r * K + k, mean);
    }
}

// Adds the gradient of that mean, dh (n, K) being its own, to dc.
extern "C" __global__ void owned_mean_backward(const Real* __restrict__ dh, const int* __restrict__ rows,
                                               const bool* __restrict__ owned, i64 n, int M, int K, int lanes,
                                               Real* dc) {
    const i64 r = my_row(lanes);
    if (r >= n || rows[r] < 0) return;
    const i64 item = rows[r];
    const Real share = share_of(owned, rows[r], M);
    for (int k = my_lane(lanes) * VEC; k < K; k += lanes * VEC) {
        const Pack slope = load(dh + r * K + k);
        for (int m = 0; m < M; ++m) {
            if (!owned[item * M + m]) continue;
            Pack sum = load(dc + (m * n + r) * K + k);
            for (int e = 0; e < VEC; ++e)
                sum.v[e] += share * slope.v[e];
            store(dc + (m * n + r) * K + k, sum);
        }
    }
}

// Profiles without the positive, of length exp(g), and what their backward pass reads.
extern "C" __global__ void leave_one_out(const Real* __restrict__ total, const Real* __restrict__ h,
                                         const int* __restrict__ owner, const int* __restrict__ positive,
                                         const int* __restrict__ lengths, const Real* __restrict__ scale, int B, int K,
                                         int lanes, Real* unit, Real* inverse, Real* q) {
    const i64 t = my_row(lanes);
    const bool mine = t < B;
    Real square = 0;
    for (int k = my_lane(lanes) * VEC; mine && k < K; k += lanes * VEC) {
        Pack v = load(total + (i64)owner[t] * K + k);
        subtract(v, load(h + (i64)positive[t] * K + k));
        for (int e = 0; e < VEC; ++e)
            square += v.v[e] * v.v[e];
        store(unit + t * K + k, v);
    }
    square = sum_lanes(square, lanes) + Real(SMALL * SMALL);
    if (!mine) return;
    const Real one = lengths[owner[t]] > 1 ? 1 / sqrt(square) : Real(0), factor = exp(scale[0]);
    for (int k = my_lane(lanes) * VEC; k < K; k += lanes * VEC) {
        Pack direction = load(unit + t * K + k), profile;
        for (int e = 0; e < VEC; ++e) {
            direction.v[e] *= one;
            profile.v[e] = factor * direction.v[e];
        }
        store(unit + t * K + k, direction);
        store(q + t * K + k, profile);
    }
    if (my_lane(lanes) == 0) inverse[t] = one;
}

// Gradient of what is left out into `left` (B, K), that of g into `dscale` (1).
extern "C" __global__ void __launch_bounds__(THREADS)
leave_one_out_backward(const Real* __restrict__ dq, const Real* __restrict__ unit, const Real* __restrict__ inverse,
                       const Real* __restrict__ scale, int B, int K, int lanes, Real* left, double* part,
                       unsigned* ticket, Real* dscale) {
    __shared__ double shared[32];
    __shared__ bool last;
    const i64 t = my_row(lanes);
    const bool mine = t < B;
    Real along = 0;
    for (int k = my_lane(lanes) * VEC; mine && k < K; k += lanes * VEC) {
        const Pack slope = load(dq + t * K + k), direction = load(unit + t * K + k);
        for (int e = 0; e < VEC; ++e)
            along += slope.v[e] * direction.v[e];
    }
    along = sum_lanes(along, lanes);
    const Real factor = exp(scale[0]), size = mine ? -factor * inverse[t] : Real(0);
    for (int k = my_lane(lanes) * VEC; mine && k < K; k += lanes * VEC) {
        const Pack slope = load(dq + t * K + k), direction = load(unit + t * K + k);
        Pack out;
        for (int e = 0; e < VEC; ++e)
            out.v[e] = size * (slope.v[e] - along * direction.v[e]);
        store(left + t * K + k, out);
    }
    double total = sum_block(mine && my_lane(lanes) == 0 ? double(along) : 0.0, shared);
    if (threadIdx.x == 0) part[blockIdx.x] = total;
    if (!last_block(ticket, &last)) return;
    total = sum_parts(part, gridDim.x, shared);
    if (threadIdx.x == 0) *dscale = Real(factor * total);
}
