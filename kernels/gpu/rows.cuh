// Rows of virtual feature tables on their way to shared memory.

#ifndef KVEC
#define KVEC 1  // as VEC, for rows of K numbers
#endif
#ifndef FETCH
#define FETCH 128  // bytes of a row that the second-level cache takes from memory at once: 64, 128 or 256
#endif
#define MOST 8  // modalities of a launch
#define NOBODY 0x7fffffff

template <class T, int N>
struct alignas(N * sizeof(T)) Numbers {
    T v[N];
};
typedef Numbers<float, 4> Quad;

// A modality's table, what its rows are multiplied by, and where the results go.
struct Modality {
    const Raw* raw;
    const float* fill;
    const int* source;
    const float* scale;
    const float* wide;  // W (D, K), or the gradient of c (n, K)
    const float* bias;
    float* out;  // c (n, K), or the gradient of W (D, K)
    float* dbias;
    int D;
};

struct Modalities {
    Modality of[MOST];
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

// The same for rows of K numbers; the compiler may not put it off until later.
__device__ __forceinline__ void fetch_now(const float* at, int left, float* to) {
#if defined(__CUDA_ARCH__) && KVEC == 4
    for (int k = 0; k < 4; ++k)
        to[k] = 0;
    if (left > 0)
        asm volatile("ld.global.nc.v4.f32 {%0, %1, %2, %3}, [%4];"
                     : "=f"(to[0]), "=f"(to[1]), "=f"(to[2]), "=f"(to[3])
                     : "l"(at));
#else
    fetch<KVEC>(at, left, to);
#endif
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

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define COPIES 1  // where the architecture can, and 16 bytes are one access, they go past the registers
#else
#define COPIES 0
#endif
#define COPY_ROWS (COPIES && !HALF && VEC == 4)
#define COPY_WIDE (COPIES && KVEC == 4)

// 16 bytes to shared memory, zeros if they aren't `there`. Their neighbours are wanted soon, so the second-level cache
// takes these too.
__device__ __forceinline__ void copy(float* to, const void* from, bool there) {
#if __CUDA_ARCH__ >= 800
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
    asm volatile("cp.async.cg.shared.global.L2::" TEXT(FETCH) "B [%0], [%1], 16, %2;" ::"r"(
                     unsigned(__cvta_generic_to_shared(to))),
                 "l"(from), "r"(there ? 16 : 0)
                 : "memory");
#else
    *reinterpret_cast<Quad*>(to) = there ? *reinterpret_cast<const Quad*>(from) : Quad{0, 0, 0, 0};
#endif
}

// Wait for this thread's copies. What other threads copied is there after a barrier.
__device__ __forceinline__ void await_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

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
