// A score and its item as one number, in the order of a list of the best.

__device__ __forceinline__ float minus_infinity() {
    return __int_as_float(int(0xff800000u));
}

// The better, the larger; the earlier of two equal scores is better. For scores above minus infinity.
__device__ __forceinline__ u64 key_above(float score, unsigned item) {
    const unsigned bits = __float_as_uint(score + 0.0f);  // -0 becomes 0: they tie
    const unsigned ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (u64)ordered << 32 | (0xffffffffu - item);
}

// The same for any score. 0 is never listed: it stands for NaN and minus infinity.
__device__ __forceinline__ u64 key_of(float score, unsigned item) {
    return score > minus_infinity() ? key_above(score, item) : 0;
}

__device__ __forceinline__ float score_of(u64 key) {
    const unsigned ordered = unsigned(key >> 32);
    return __int_as_float(int(ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered));
}

// Bitonic sort of `count` keys by a block, largest first; `count` is a power of two, `key` is shared.
__device__ __forceinline__ void sort_keys(u64* key, int count) {
    for (int width = 2; width <= count; width *= 2)
        for (int gap = width / 2; gap; gap /= 2) {
            for (int pair = threadIdx.x; pair < count / 2; pair += blockDim.x) {
                const int low = 2 * pair - (pair & (gap - 1)), high = low + gap;
                const u64 a = key[low], b = key[high];
                if ((a < b) == ((low & width) == 0)) {
                    key[low] = b;
                    key[high] = a;
                }
            }
            __syncthreads();
        }
}
