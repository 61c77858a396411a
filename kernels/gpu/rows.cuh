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

// 16 bytes of a row; their neighbours are wanted soon, so the second-level cache takes these too.
__device__ __forceinline__ Quad fetch_ahead(const float* at) {
#ifdef __CUDA_ARCH__
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
    Quad to;
    asm volatile("ld.global.nc.L2::" TEXT(FETCH) "B.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(to.v[0]), "=f"(to.v[1]), "=f"(to.v[2]), "=f"(to.v[3])
                 : "l"(at));
    return to;
#else
    return *reinterpret_cast<const Quad*>(at);
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
#elif VEC == 4
    Quad quad = {0, 0, 0, 0};
    if (left > 0) quad = fetch_ahead(reinterpret_cast<const float*>(at));
    for (int k = 0; k < 4; ++k)
        to.full[k] = quad.v[k];
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
