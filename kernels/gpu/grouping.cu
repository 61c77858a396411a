// The distinct ids of a batch and where each of them stands (contract: reference/grouping.py), in one block.
//
// Why one block that sorts: the positions of an id have to come in ascending order, or sums over them would depend on
// timing. An id is replaced by the place of its first appearance, so that (first place, place) fits one word, and a
// bitonic sort of these words puts equal ids together, by first appearance, each with its places ascending. Words are
// distinct, so there is one possible result. A batch of a few thousand ids is sorted in shared memory in the time of a
// handful of launches, which is what a radix sort over many blocks would take for its passes alone.
#include "common.cuh"

#define THREADS 1024
#include "scan.cuh"

// Key: the place of first appearance in the high bits, the place in the low ones.
template <class Key>
__device__ __forceinline__ void write_keys(const int* ids, int T, int size, int bits, unsigned* table, Key* key) {
    for (int t = threadIdx.x; t < T; t += THREADS)
        atomicMin(&table[ids[t]], unsigned(t));  // an empty place holds -1, the largest unsigned number
    __syncthreads();
    for (int t = threadIdx.x; t < size; t += THREADS) {
        const volatile unsigned* first = table + (t < T ? ids[t] : 0);
        key[t] = t < T ? (Key(*first) << bits) | Key(t) : ~Key(0);
    }
    __syncthreads();
}

// Bitonic sort of `size` keys, a power of two.
template <class Key>
__device__ __forceinline__ void sort_keys(Key* key, int size) {
    for (int width = 2; width <= size; width *= 2)
        for (int gap = width / 2; gap; gap /= 2) {
            for (int pair = threadIdx.x; pair < size / 2; pair += THREADS) {
                const int low = 2 * pair - (pair & (gap - 1)), high = low + gap;
                const Key a = key[low], b = key[high];
                if ((a > b) == ((low & width) == 0)) {
                    key[low] = b;
                    key[high] = a;
                }
            }
            __syncthreads();
        }
}

template <class Key>
__device__ __forceinline__ bool is_head(const Key* key, int at, int bits) {
    return at == 0 || (key[at] >> bits) != (key[at - 1] >> bits);
}

// Groups from sorted keys; each thread takes a run of neighbours. Slots beyond the last group stay empty.
template <class Key>
__device__ __forceinline__ void write_groups(const int* ids, int T, int slots, int bits, const Key* key, int* parts,
                                             int* table, int* unique, int* slot, int* start, int* order) {
    const int run = (T + THREADS - 1) / THREADS;
    const int low = min(T, int(threadIdx.x) * run), high = min(T, low + run);
    int heads = 0, groups;
    for (int at = low; at < high; ++at)
        heads += is_head(key, at, bits);
    int s = sum_before(heads, parts, &groups) - 1;
    for (int at = low; at < high; ++at) {
        const int t = int(key[at] & ((Key(1) << bits) - 1));
        if (is_head(key, at, bits)) {
            start[++s] = at;
            unique[s] = ids[t];
            table[ids[t]] = -1;
        }
        order[at] = t;
        slot[t] = s;
    }
    for (int empty = groups + int(threadIdx.x); empty <= slots; empty += THREADS) {
        start[empty] = T;
        if (empty < slots) unique[empty] = -1;
    }
}

// The part of `array` that belongs to this block, whose batch has a row of its own: rows lie `apart`.
template <class T>
__device__ __forceinline__ T* mine(T* array, i64 apart) {
    return array + blockIdx.x * apart;
}

// One block for each batch. Its ids and all that is written of them lie `apart` from those of the next batch, its table
// `table_apart`.

// Ids whose 32-bit keys fit the shared memory: `size` of them, the power of two not below T, and 2 * bits <= 32.
extern "C" __global__ void __launch_bounds__(THREADS)
group_shared(const int* ids, int T, int slots, int size, int bits, i64 apart, i64 table_apart, int* table, int* unique,
             int* slot, int* start, int* order) {
    extern __shared__ unsigned keys[];
    __shared__ int parts[32];
    ids = mine(ids, apart);
    table = mine(table, table_apart);
    write_keys(ids, T, size, bits, reinterpret_cast<unsigned*>(table), keys);
    sort_keys(keys, size);
    write_groups(ids, T, slots, bits, keys, parts, table, mine(unique, apart), mine(slot, apart), mine(start, apart),
                 mine(order, apart));
}

// Any number of ids by keys of 64 bits in device memory.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
group_global(const int* ids, int T, int slots, int size, int bits, i64 apart, i64 table_apart, int* table, int* unique,
             int* slot, int* start, int* order, u64* keys) {
    __shared__ int parts[32];
    ids = mine(ids, apart);
    table = mine(table, table_apart);
    keys = mine(keys, size);
    write_keys(ids, T, size, bits, reinterpret_cast<unsigned*>(table), keys);
    sort_keys(keys, size);
    write_groups(ids, T, slots, bits, keys, parts, table, mine(unique, apart), mine(slot, apart), mine(start, apart),
                 mine(order, apart));
}
