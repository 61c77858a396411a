// Risk of the environments (contract: reference/risk.py): losses and slopes, then the gradient of the margins.
#include "common.cuh"

#define THREADS 256

// Loss log(1 + e^-y) of a triplet in an environment of weights theta, and its slope by y times 1/B.
__device__ __forceinline__ double softplus(const Real* s, const Real* theta, int t, int B, int M, Real* slope) {
    Real y = theta[0] * s[t];
    for (int m = 1; m < M; ++m)
        y += theta[m] * s[(i64)m * B + t];
    const Real decay = exp(-fabs(y));  // no overflow on either side
    *slope = -(y > 0 ? decay : Real(1)) / (1 + decay) / B;
    return log1p(decay) + max(-y, Real(0));
}

// losses (E), and the derivatives (E) of the risk by them: one block, after all others.
__device__ __forceinline__ void weigh(const volatile double* part, int blocks, int B, int E, double base,
                                      double invariance, double* losses, Real* weight, double* shared) {
    for (int e = threadIdx.x; e < E; e += THREADS) {
        double total = 0;
        for (int b = 0; b < blocks; ++b)
            total += part[(i64)e * blocks + b];
        losses[e] = total / B;
    }
    __syncthreads();
    double sum = 0;
    for (int e = threadIdx.x; e < E; e += THREADS)
        sum += losses[e];
    sum = sum_block(sum, shared);
    if (threadIdx.x == 0) shared[0] = sum / E;
    __syncthreads();
    const double mean = shared[0];
    const double spread = E > 1 ? 2 * invariance / (E - 1) : 0;
    for (int e = threadIdx.x; e < E; e += THREADS)
        weight[e] = Real(base + spread * (losses[e] - mean));
}

// Grid (blocks, E): slope (E, B), and a loss for each block and environment in `part` (E, blocks).
extern "C" __global__ void __launch_bounds__(THREADS, 4)
risk_forward(const Real* __restrict__ s, const Real* __restrict__ theta, double base, double invariance, int B, int M,
             int E, Real* slope, double* part, unsigned* ticket, double* losses, Real* weight) {
    __shared__ double shared[32];
    __shared__ bool last;
    const int e = blockIdx.y;
    double loss = 0;
    for (int t = blockIdx.x * THREADS + threadIdx.x; t < B; t += gridDim.x * THREADS)
        loss += softplus(s, theta + (i64)e * M, t, B, M, &slope[(i64)e * B + t]);
    loss = sum_block(loss, shared);
    if (threadIdx.x == 0) part[(i64)e * gridDim.x + blockIdx.x] = loss;
    if (last_block(ticket, &last))
        weigh(part, gridDim.x, B, E, base, invariance, losses, weight, shared);
}

// ds (M, B) = sum_e theta_e^m weight_e slope_e: grid (blocks, M), a thread for each triplet.
extern "C" __global__ void __launch_bounds__(THREADS)
risk_backward(const Real* __restrict__ theta, const Real* __restrict__ weight, const Real* __restrict__ slope, int B,
              int M, int E, Real* ds) {
    const int t = blockIdx.x * THREADS + threadIdx.x, m = blockIdx.y;
    if (t >= B) return;
    Real total = 0;
    for (int e = 0; e < E; ++e)
        total += theta[(i64)e * M + m] * weight[e] * slope[(i64)e * B + t];
    ds[(i64)m * B + t] = total;
}
