// Lists of the best keys of a query, in a warp's registers: 32 * LISTED keys in descending order, and 0 at the end.
// Key 32 * e + lane is `key[e]` of a lane. Bitonic networks: what they do doesn't depend on the keys.

#define ALL 0xffffffffu

typedef u64 List[LISTED];

// The greater or the smaller of this lane's key and that of the lane `gap` away.
__device__ __forceinline__ u64 exchange(u64 key, int gap, bool greater) {
    const u64 other = __shfl_xor_sync(ALL, key, gap);
    return (key > other) == greater ? key : other;
}

// A key a lane, in ascending order.
__device__ __forceinline__ u64 ascending(u64 key) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int width = 2; width <= 32; width *= 2)
#pragma unroll
        for (int gap = width / 2; gap; gap /= 2)
            key = exchange(key, gap, ((lane & gap) == 0) != ((lane & width) == 0));
    return key;
}

// Descending order of what first falls, then rises.
__device__ __forceinline__ void order(List& key) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int gap = LISTED / 2; gap; gap /= 2)
#pragma unroll
        for (int e = 0; e < LISTED; ++e)
            if (!(e & gap)) {
                const u64 a = key[e], b = key[e + gap];
                key[e] = max(a, b);
                key[e + gap] = min(a, b);
            }
#pragma unroll
    for (int gap = 16; gap; gap /= 2)
#pragma unroll
        for (int e = 0; e < LISTED; ++e)
            key[e] = exchange(key[e], gap, (lane & gap) == 0);
}

// A key a lane, in any order, joins a list; the least drop out.
__device__ __forceinline__ void join(List& list, u64 key) {
    list[LISTED - 1] = max(list[LISTED - 1], ascending(key));
    order(list);
}

// `count` keys from memory, zeros behind them.
__device__ __forceinline__ void read(List& list, const u64* from, int count) {
#pragma unroll
    for (int e = 0; e < LISTED; ++e) {
        const int at = 32 * e + threadIdx.x % 32;
        list[e] = at < count ? from[at] : 0;
    }
}

__device__ __forceinline__ void write(const List& list, u64* to, int count) {
#pragma unroll
    for (int e = 0; e < LISTED; ++e) {
        const int at = 32 * e + threadIdx.x % 32;
        if (at < count) to[at] = list[e];
    }
}

// Another list of `count` keys in memory joins: its best meet the list's worst.
__device__ __forceinline__ void join_list(List& list, const u64* from, int count) {
#pragma unroll
    for (int e = 0; e < LISTED; ++e) {
        const int at = 32 * (LISTED - e) - 1 - threadIdx.x % 32;
        if (at < count) list[e] = max(list[e], from[at]);
    }
    order(list);
}

// Key number `at` of the list, in all lanes.
__device__ __forceinline__ u64 key_at(const List& list, int at) {
    u64 found = 0;
#pragma unroll
    for (int e = 0; e < LISTED; ++e) {
        const u64 key = __shfl_sync(ALL, list[e], at % 32);
        if (e == at / 32) found = key;
    }
    return found;
}
