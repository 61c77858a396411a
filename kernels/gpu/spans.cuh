// Which part of a launch's work is a block's. The work is a row of units, a slice of terms of a tile each, the slices
// of a tile next to each other. Blocks take equal spans of it, so that they end together: a block finishes the tile
// that the one before has begun. Padding rows lie behind all others; they are no work.

#define LEAST 4  // units that are worth a block
#define FAN 4    // sums that a block adds at once
#define SUMS 68  // of a thread: its 8 x 8 results, and its share of the bias's gradient

// How many rows there are before the padding, by all threads of a block. `count` is shared.
__device__ __forceinline__ int count_rows(const int* rows, int n, int* count) {
    for (int low = 0, length = n;;) {
        const int step = (length + THREADS - 1) / THREADS, probe = (threadIdx.x + 1) * step - 1;
        __syncthreads();
        if (threadIdx.x == 0) *count = 0;
        __syncthreads();
        if (length > 0 && probe < length && rows[low + probe] >= 0) atomicMax(count, int(threadIdx.x) + 1);
        __syncthreads();
        low += *count * step;
        length = min(step - 1, length - *count * step);
        if (length <= 0) return low;
    }
}

__device__ __forceinline__ int pieces(int whole, int size) {
    return max(1, (whole + size - 1) / size);
}

// Forward, a tile is one of rows, and its terms are the table's columns; backward, the other way round.
template <bool FORWARD>
__device__ __forceinline__ int tiles_of(const Modality& m, int real) {
    return FORWARD ? (real + TILE - 1) / TILE : pieces(m.D, TILE);
}

template <bool FORWARD>
__device__ __forceinline__ int slices_of(const Modality& m, int real) {
    return pieces(FORWARD ? m.D : real, DEPTH);
}

// All units, and the blocks that they are worth: each of these has `base` of them, the first `extra` one more.
struct Plan {
    int real, columns, blocks, base, extra;

    template <bool FORWARD>
    __device__ __forceinline__ void set(const Modalities& all, int count, int rows, int K) {
        real = rows;
        columns = (K + WIDTH - 1) / WIDTH;
        int units = 0;
        for (int m = 0; m < count; ++m)
            units += tiles_of<FORWARD>(all.of[m], real) * columns * slices_of<FORWARD>(all.of[m], real);
        blocks = min(int(gridDim.x), max(1, units / LEAST));
        base = units / blocks;
        extra = units % blocks;
    }

    __device__ __forceinline__ int begin(int block) const {
        return min(block, blocks) * base + min(block, extra);
    }

    __device__ __forceinline__ int block_of(int unit) const {
        const int longer = extra * (base + 1);
        return unit < longer ? unit / (base + 1) : extra + (unit - longer) / base;
    }
};

// What a block does of one tile: slices from ... to - 1, the `piece`-th of `pieces`, from block `first` on.
struct Span {
    int modality, tile, column, from, to, piece, pieces, first;
    bool inside;  // the first of these blocks has done something else before

    template <bool FORWARD>
    __device__ __forceinline__ void set(const Plan& plan, const Modalities& all, int unit, int end) {
        int rest = unit, tiles, slices;
        for (modality = 0;; ++modality) {
            tiles = tiles_of<FORWARD>(all.of[modality], plan.real);
            slices = slices_of<FORWARD>(all.of[modality], plan.real);
            if (rest < tiles * plan.columns * slices) break;
            rest -= tiles * plan.columns * slices;
        }
        from = rest % slices;
        to = min(slices, from + end - unit);
        tile = rest / slices % tiles;
        column = rest / slices / tiles * WIDTH;
        first = plan.block_of(unit - from);
        piece = blockIdx.x - first;
        pieces = plan.block_of(unit - from + slices - 1) - first + 1;
        inside = plan.begin(first) < unit - from;
    }

    // Where the sum of a piece is kept: a block has two places, as no more of its tiles are also others' work.
    __device__ __forceinline__ int place(int which) const {
        return 2 * (first + which) + (which == 0 && inside);
    }
};

// Kept sums lie one number after the other: quads would tie the results to neighbouring registers, and then a
// multiply-add would find two of its operands in the same bank of them. `part` is a thread's own place.
__device__ __forceinline__ void keep(const Results& sum, const Quad& extra, float* part) {
    for (int e = 0; e < 64; ++e)
        part[e * THREADS] = sum[e / 8][e % 8];
    for (int k = 0; k < 4; ++k)
        part[(64 + k) * THREADS] = extra.v[k];
}

// Kept sums that one block adds.
struct Group {
    const float* part[FAN];
    int members;

    // Numbers e ... e + COUNT - 1 of the whole; all are asked for before one is waited for.
    template <int COUNT>
    __device__ __forceinline__ void add(int e, float* total) const {
        float each[COUNT][FAN];
#pragma unroll
        for (int u = 0; u < COUNT; ++u)
            for (int m = 0; m < FAN; ++m)
                each[u][m] = m < members ? part[m][(e + u) * THREADS] : 0.0f;
#pragma unroll
        for (int u = 0; u < COUNT; ++u) {
            total[u] = each[u][0];
            for (int m = 1; m < FAN; ++m)
                total[u] += each[u][m];
        }
    }
};

__device__ __forceinline__ void add_to_first(const Group& group, float* part) {
#pragma unroll 1
    for (int e = 0; e < SUMS; e += 17) {
        float total[17];
        group.add<17>(e, total);
        for (int u = 0; u < 17; ++u)
            part[(e + u) * THREADS] = total[u];
    }
}

// Adds up what the blocks of a tile keep, FAN at a time, and these sums again. True in the block that has to add the
// last group. A group's sum takes the place of its first member, which only this block has read. `last` is shared.
__device__ __forceinline__ bool add_up(const Span& span, float* part, unsigned* ticket, bool* last, Group& group) {
    for (int gap = 1, at = span.piece;; gap *= FAN, ticket += 2 * gridDim.x) {
        const int head = at / (gap * FAN) * (gap * FAN);
        group.members = min(FAN, (span.pieces - head + gap - 1) / gap);
        for (int m = 0; m < FAN; ++m)
            group.part[m] = part + (i64)span.place(head + m * gap) * SUMS * THREADS;
        if (group.members > 1 && !last_of(group.members, ticket + span.place(head), last)) return false;
        if (gap * FAN >= span.pieces) return true;
        if (group.members > 1) add_to_first(group, part + (i64)span.place(head) * SUMS * THREADS);
        at = head;
    }
}
