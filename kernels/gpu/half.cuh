// Raw numbers of feature rows: float32, or float16 where the command line sets HALF.

#ifndef HALF
#define HALF 0
#endif

#if HALF
typedef unsigned short Raw;  // the bits of a float16

// Exact for every finite number. A subnormal one is its last 10 bits times 2^-24, which is not subnormal in float32:
// CuPy has the compiler flush those to zero, so none may come up on the way.
__device__ __forceinline__ float widen(Raw half) {
    const unsigned magnitude = half & 0x7fffu, sign = (half & 0x8000u) << 16;
    const float subnormal = magnitude * 5.9604644775390625e-8f;
    const unsigned bits = magnitude < 0x400u ? __float_as_uint(subnormal) : (magnitude << 13) + (112u << 23);
    return __int_as_float(int(bits | sign));
}
#else
typedef float Raw;
#endif

__device__ __forceinline__ float widen(float value) {
    return value;
}
