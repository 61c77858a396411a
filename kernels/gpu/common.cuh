// What the kernels share: number types, vector access, rows on lanes, sums in a fixed order.
//
// The compiler's command line sets REAL (float or double) and VEC, the numbers that a thread moves at once (16 bytes
// at most). Who launches a kernel sees to it that rows start and end on a boundary of VEC numbers.
//
// Symbols as in kernels/__init__.py: U users, I items, M modalities, E environments, B triplets in a batch, K latent
// width, D raw width, n distinct items of a batch.

#ifndef REAL
#define REAL float
#endif
#ifndef VEC
#define VEC 1
#endif

typedef REAL Real;
typedef long long i64;
typedef unsigned long long u64;

// VEC numbers in one access.
template <class T>
struct alignas(VEC * sizeof(T)) Vector {
    T v[VEC];
};
typedef Vector<Real> Pack;

template <class T>
__device__ __forceinline__ Vector<T> load(const T* at) {
    return *reinterpret_cast<const Vector<T>*>(at);
}

template <class T>
__device__ __forceinline__ void store(T* at, Vector<T> pack) {
    *reinterpret_cast<Vector<T>*>(at) = pack;
}

// A row of a table is the work of `lanes` neighbouring threads of a warp, a power of two: few for narrow rows, so that
// no thread idles, and 32 at most, so that a sum over a row needs no shared memory.
__device__ __forceinline__ i64 my_row(int lanes) {
    return ((i64)blockIdx.x * blockDim.x + threadIdx.x) / lanes;
}

__device__ __forceinline__ int my_lane(int lanes) {
    return threadIdx.x & (lanes - 1);
}

// Sum over a row's lanes, in all of them. Every thread of the warp has to call it.
template <class T>
__device__ __forceinline__ T sum_lanes(T value, int lanes) {
    for (int gap = lanes >> 1; gap; gap >>= 1)
        value += __shfl_xor_sync(0xffffffffu, value, gap);
    return value;
}

// Sum over a block in an order that timing can't change; right in the first warp. `parts` (32) is shared.
__device__ __forceinline__ double sum_block(double value, double* parts) {
    value = sum_lanes(value, 32);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = sum_lanes(threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0.0, 32);
    __syncthreads();
    return value;
}

// True in the block that gets here last of `blocks`: it sees what the others wrote before. `ticket` is zero before a
// launch and again after it; `last` is shared. This saves the launch that a sum over blocks would need otherwise.
__device__ __forceinline__ bool last_of(unsigned blocks, unsigned* ticket, bool* last) {
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        *last = atomicAdd(ticket, 1u) + 1 == blocks;
        if (*last) *ticket = 0;
    }
    __syncthreads();
    __threadfence();
    return *last;
}

__device__ __forceinline__ bool last_block(unsigned* ticket, bool* last) {
    return last_of(gridDim.x * gridDim.y, ticket, last);
}

// Sum of `count` numbers that other blocks wrote; volatile, because a first-level cache may hold what was there before.
__device__ __forceinline__ double sum_parts(const volatile double* part, int count, double* shared) {
    double total = 0;
    for (int at = threadIdx.x; at < count; at += blockDim.x)
        total += part[at];
    return sum_block(total, shared);
}
