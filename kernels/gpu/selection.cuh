// The best keys of a row of scores, by a block of THREADS that holds KEPT of them and as many candidates in shared memory.

// Keep the best of what is held and of the `waiting` candidates behind them.
__device__ __forceinline__ void merge(u64* key, int* waiting) {
    __syncthreads();
    for (int at = KEPT + *waiting + threadIdx.x; at < 2 * KEPT; at += THREADS)
        key[at] = 0;
    __syncthreads();
    if (threadIdx.x == 0) *waiting = 0;
    sort_keys(key, 2 * KEPT);
}

// The KEPT best keys of a row of scores below `limit`, sorted. A candidate has to beat the worst that would be listed;
// candidates wait in any order, which the sort of distinct keys undoes.
__device__ __forceinline__ void find(const float* row, int N, u64 limit, int wanted, u64* key, int* waiting) {
    for (int at = threadIdx.x; at < 2 * KEPT; at += THREADS)
        key[at] = 0;
    if (threadIdx.x == 0) *waiting = 0;
    __syncthreads();
    u64 worst = 0;
    for (i64 first = 0; first < N; first += THREADS) {
        const i64 item = first + threadIdx.x;
        const u64 mine = item < N ? key_of(row[item], unsigned(item)) : 0;
        if (mine > worst && mine < limit) key[KEPT + atomicAdd(waiting, 1)] = mine;
        __syncthreads();
        if (*waiting > KEPT - THREADS) {  // the next items might not find room
            merge(key, waiting);
            worst = key[wanted - 1];
        }
        __syncthreads();
    }
    merge(key, waiting);
}
