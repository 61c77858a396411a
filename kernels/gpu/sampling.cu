// Triplets of a batch (contract: reference/sampling.py): one thread a triplet, from counters alone.
#include "common.cuh"

// SplitMix64 finalizer.
__device__ __forceinline__ u64 mix64(u64 x) {
    x += 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

// Place that x goes to in the permutation of 0 ... n-1 that `key` names: a Feistel network over the next power of two,
// gone through again while the result lies outside.
__device__ __forceinline__ u64 permuted(u64 x, u64 key, u64 n) {
    int bits = 2;
    while ((n - 1) >> bits) ++bits;
    const int low = bits / 2, high = bits - low;
    const u64 mask = (1ull << low) - 1;
    do {
        for (int r = 0; r < ROUNDS; ++r) {
            const u64 top = x >> low;
            x = (((x & mask) ^ (mix64(top ^ mix64(key + r)) & mask)) << high) | top;
        }
    } while (x >= n);
    return x;
}

// Uniform whole number below n.
__device__ __forceinline__ i64 below(u64 word, i64 n) {
    return i64(double(word >> 11) * (1.0 / 9007199254740992.0) * double(n));
}

// Position of the r-th candidate that is not among own (count, ascending).
__device__ __forceinline__ i64 free_candidate(i64 r, const int* own, i64 count) {
    i64 low = 0, high = count;
    while (low < high) {
        const i64 middle = (low + high) / 2;
        if (own[middle] - middle <= r) low = middle + 1;
        else high = middle;
    }
    return r + low;
}

__device__ __forceinline__ bool contains(const int* own, i64 count, i64 value) {
    i64 low = 0, high = count;
    while (low < high) {
        const i64 middle = (low + high) / 2;
        if (own[middle] < value) low = middle + 1;
        else high = middle;
    }
    return low < count && own[low] == value;
}

// Position of a negative among the C candidates: a free member of the pool if one is found, else any free candidate.
__device__ __forceinline__ i64 negative(u64 word, const int* own, i64 count, i64 C, const i64* pool, i64 members) {
    for (int attempt = 0; attempt < (members ? TRIES : 0); ++attempt) {
        const i64 member = pool[below(mix64(word + attempt), members)];
        if (!contains(own, count, member)) return member;
    }
    return free_candidate(below(word, C - count), own, count);
}

extern "C" __global__ void shuffle(u64 key, i64 first, int count, u64 n, i64* out) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t < count) out[t] = permuted(first + t, key, n);
}

// Triplets `first` to `first + count` in batches of `batch`, the last of which may be smaller: users, then the positives
// and the negatives of a batch one after the other. Batches lie `apart`.
extern "C" __global__ void draw_batch(u64 shuffle_key, u64 negative_key, i64 first, int count, i64 n,
                                      const int* __restrict__ pair_user, const int* __restrict__ pair_item,
                                      const i64* __restrict__ indptr, const int* __restrict__ ranks,
                                      const int* __restrict__ candidates, i64 C, const i64* __restrict__ pool,
                                      i64 members, int batch, i64 apart, int* users, int* items) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= count) return;
    const int place = t % batch, size = min(batch, count - (t - place));
    const i64 at = t / batch * apart + place;
    const u64 row = permuted(first + t, shuffle_key, n);
    const int user = pair_user[row];
    const i64 start = indptr[user];
    const u64 word = mix64(mix64(row) ^ negative_key);
    users[at] = user;
    items[at] = pair_item[row];
    items[at + size] = candidates[negative(word, ranks + start, indptr[user + 1] - start, C, pool, members)];
}
