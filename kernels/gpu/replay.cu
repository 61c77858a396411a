// What changes from step to step, in device memory (contract: reference/replay.py), so that a step's launches can all
// have the same arguments and be replayed.
#include "common.cuh"

struct Clock {
    i64 slot, row, count;
};

extern "C" __global__ void set_clock(i64 slot, i64 row, i64 count, Clock* clock) {
    *clock = {slot, row, count};
}

// The batch in slot `slot` (modulo G) of `batches` (G, L) into `batch` (L), row `row` of `schedule` (steps, W) into `now` (W).
extern "C" __global__ void begin_step(const Clock* clock, const Vector<int>* __restrict__ batches, int G,
                                      i64 L, Vector<int>* batch, const Real* __restrict__ schedule, int W, Real* now) {
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < L) batch[at] = batches[clock->slot % G * L + at];
    if (at < W) now[at] = schedule[clock->row * W + at];
}

// The losses `made` (R) of a step into row `row` of `record` (steps, R), and on to the next step: one block.
extern "C" __global__ void end_step(Clock* clock, const double* __restrict__ made, int R, double* record) {
    const i64 row = clock->row;
    for (int r = threadIdx.x; r < R; r += blockDim.x)
        record[row * R + r] = made[r];
    __syncthreads();  // all have read the clock
    if (threadIdx.x == 0) *clock = {clock->slot + 1, row + 1, clock->count + 1};
}
