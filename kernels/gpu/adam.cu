// Adam for whole arrays and for the rows of a table of which few are touched in a step (contract: reference/adam.py).
#include "common.cuh"

// One step on one number. `size` and `epsilon` hold both bias corrections.
__device__ __forceinline__ void move(Real& p, Real g, Real& m, Real& v, Real size, Real epsilon) {
    m = Real(BETA1) * m + Real(1 - BETA1) * g;
    v = Real(BETA2) * v + Real(1 - BETA2) * g * g;
    p -= size * m / (sqrt(v) + epsilon);
}

__device__ __forceinline__ void move_pack(Real* p, const Real* g, Real* m, Real* v, Real size, Real epsilon) {
    Pack p_ = load(p), g_ = load(g), m_ = load(m), v_ = load(v);
    for (int k = 0; k < VEC; ++k)
        move(p_.v[k], g_.v[k], m_.v[k], v_.v[k], size, epsilon);
    store(p, p_);
    store(m, m_);
    store(v, v_);
}

// When a step is: its number, and both rates at it. Where they change from launch to launch of the same arguments, as in
// a captured graph, they lie in device memory: `rates` (2), and `count` (1), which is added to `step`.
__device__ __forceinline__ void read_rates(const Real* rates, Real* size, Real* epsilon) {
    if (!rates) return;
    *size = rates[0];
    *epsilon = rates[1];
}

// All `count` numbers of p: one thread for VEC of them, the last for what is left.
extern "C" __global__ void adam(Real* p, const Real* g, Real* m, Real* v, i64 count, Real size, Real epsilon,
                                const Real* rates) {
    read_rates(rates, &size, &epsilon);
    const i64 at = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * VEC;
    if (at + VEC <= count) {
        move_pack(p + at, g + at, m + at, v + at, size, epsilon);
        return;
    }
    for (i64 k = at; k < count; ++k)
        move(p[k], g[k], m[k], v[k], size, epsilon);
}

// The rows `rows` (n) of a table, with gradients g (n, K); `seen` is the step that each row of the table stands at.
extern "C" __global__ void adam_rows(Real* p, const Real* g, Real* m, Real* v, i64* seen, const int* rows, int n, int K,
                                     Real size, Real epsilon, const Real* rates, i64 step, const i64* count,
                                     int lanes) {
    read_rates(rates, &size, &epsilon);
    if (count) step += *count;
    const i64 at = my_row(lanes);
    const int lane = my_lane(lanes);
    const i64 row = at < n ? rows[at] : -1;
    if (row < 0) return;
    for (int k = lane * VEC; k < K; k += lanes * VEC)
        move_pack(p + row * K + k, g + at * K + k, m + row * K + k, v + row * K + k, size, epsilon);
    if (lane == 0) seen[row] = step;
}

// Step size and epsilon at step t. expm1 keeps all digits where 1 - beta^t would lose them, so that single precision
// is enough: double precision is slow on many devices.
__device__ __forceinline__ void rates(Real lr, i64 t, Real* size, Real* epsilon) {
    const Real LOG1 = -0.10536051565782628, LOG2 = -0.0010005003335835335;  // log(BETA1), log(BETA2)
    const Real root = sqrt(-expm1(Real(t) * LOG2));
    *size = lr * root / -expm1(Real(t) * LOG1);
    *epsilon = Real(EPSILON) * root;
}

#define HELD 2  // numbers of a row that a thread keeps in registers while it goes through the steps

// Steps first ... last without a gradient for 32 * HELD numbers of a row, thread by thread k, k + 32, ...
//
// The warp works out 32 step sizes at a time, one a thread. Moments only shrink, and a step with them: once no number
// moves, none will, and the moments alone go on decaying.
__device__ __forceinline__ void decay(Real* p, Real* m, Real* v, int k, int K, Real lr, i64 first, i64 last) {
    Real p_[HELD], m_[HELD], v_[HELD];
    for (int h = 0; h < HELD; ++h) {
        const int at = k + 32 * h;
        p_[h] = at < K ? p[at] : Real(0);
        m_[h] = at < K ? m[at] : Real(0);
        v_[h] = at < K ? v[at] : Real(0);
    }
    bool moving = true;
    i64 t = first;
    for (i64 base = first; base <= last && moving; base += 32) {
        Real sizes, epsilons;
        rates(lr, base + threadIdx.x % 32, &sizes, &epsilons);
        for (; t < base + 32 && t <= last && moving; ++t) {
            const Real size = __shfl_sync(0xffffffffu, sizes, int(t - base));
            const Real epsilon = __shfl_sync(0xffffffffu, epsilons, int(t - base));
            bool moved = false;
            for (int h = 0; h < HELD; ++h) {
                m_[h] *= Real(BETA1);
                v_[h] *= Real(BETA2);
                const Real next = p_[h] - size * m_[h] / (sqrt(v_[h]) + epsilon);
                moved = moved || next != p_[h];
                p_[h] = next;
            }
            moving = __any_sync(0xffffffffu, moved);
        }
    }
    const Real rest1 = pow(Real(BETA1), Real(last + 1 - t)), rest2 = pow(Real(BETA2), Real(last + 1 - t));
    for (int h = 0; h < HELD; ++h) {
        const int at = k + 32 * h;
        if (at >= K) break;
        p[at] = p_[h];
        m[at] = m_[h] * rest1;
        v[at] = v_[h] * rest2;
    }
}

// Bring the rows `rows` (n) to where dense Adam has them after `step` steps: one warp a row, so that its threads agree
// on how many steps there are to go.
extern "C" __global__ void adam_catch_up(Real* p, Real* m, Real* v, i64* seen, const int* rows, int n, int K, Real lr,
                                         i64 step, const i64* count) {
    if (count) step += *count;
    const i64 at = my_row(32);
    const int lane = my_lane(32);
    const i64 row = at < n ? rows[at] : -1;
    if (row < 0 || seen[row] >= step) return;  // the whole warp leaves
    const i64 first = seen[row] + 1;
    for (int k = 0; k < K; k += 32 * HELD)
        decay(p + row * K, m + row * K, v + row * K, k + lane, K, lr, first, step);
    if (lane == 0) seen[row] = step;
}
