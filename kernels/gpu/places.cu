// Where items stand in the order of a user's scores (contract: reference/places.py). A warp counts for a pair.
#include "common.cuh"

extern "C" __global__ void places(const float* __restrict__ scores, int candidates, const i64* __restrict__ user,
                                  const i64* __restrict__ item, i64 pairs, i64* out) {
    const i64 p = my_row(32);
    if (p >= pairs) return;
    const float* row = scores + user[p] * candidates;
    const float own = row[item[p]];
    int more = 0;
    for (int j = my_lane(32); j < candidates; j += 32)
        more += (row[j] > own) + (row[j] >= own);
    more = sum_lanes(more, 32);
    if (my_lane(32) == 0) out[p] = (more - 1) >> 1;
}
