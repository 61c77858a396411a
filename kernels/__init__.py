"""The hot loops of the engine, and nothing else: imported as `milk_np.kernels`.

`reference/` holds each kernel in plain NumPy: the specification and the oracle. `cpu/` holds the same functions in
Numba, `gpu/` in CUDA C, under the same names and with the same arguments. A file is one family:

=============  =====================================================================================
sampling       shuffled positives with uniform negatives, keyed by counters: no state, no sort
grouping       the distinct ids of a batch and their positions
extract        rows of a feature table times a weight, without building the rows, and its backward pass
margins        score difference between a triplet's two items, per modality, and its backward pass
risk           BPR risk of every environment, their mean (or sum) and variance, and its backward pass
penalties      alignment of the modalities, and the regulariser, each with its backward pass
histories      a user as the sum of their own items, the positive left out, and its backward pass (not on the GPU yet)
adam           Adam, dense and by rows
topk           the K best of a product of two tables
places         where items stand in the order of a user's scores (not on the GPU yet)
lists          sparse products with matrices of zeros and ones
content        centred rows of unit length, and what their cosines weigh
gram           products of blocks of items, summed in float64
replay         what changes from step to step of a recorded step (on a device alone)
=============  =====================================================================================

The other files serve these: on a host `tile`, `score_tile`, `gathering`, `counting`, `vectors`, `prefetch`, `tasks` and
`disk_cache`; on a device `products` and `streaming` (of extract), `search` (of topk), `capture`, `memory` and `launch`.

Symbols: U users, I items, M modalities, E environments, B triplets in a batch, K latent width, D raw width,
n distinct items of a batch. Kernels trust their callers: shapes and types are checked once, at the public edge.

Padding rows: where the number of rows depends on the data, a device allocates the maximum, and the unused rows have
the id -1 (`reference/grouping.py`). Its kernels skip them: parameters and moments are unchanged, gradients of such
rows are zero, extracted rows are finite and never read. On the CPU there are no padding rows.
"""
