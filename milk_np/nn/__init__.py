"""Differentiable blocks, each a forward pass next to its backward pass; a model composes the calls by hand.

`x_forward(...)` returns `(out, cache)`; `x_backward(dout, cache)` returns the gradients of the inputs in their order,
`dW` being that of `W`. The `dout` of a loss is its weight in the objective. Blocks take arrays of NumPy or CuPy and
keep their type: float32 in training, float64 in proofs. They change neither inputs nor caches, but for the running
means of a batch norm, which training moves. An output may share memory with an input or a cache: don't write to it.
Importing this package loads nothing.

Letters: n rows, R rows of a table, B rows of a batch, D and K widths, N candidates, P parts or experts, M modalities.

==============  ======================================================================================================
linear          x W + b; the same of rows of a feature table, through the engine's kernels; parts side by side
embedding       rows by id; back: sums by id, as a whole table or as the rows that have a gradient
activations     tanh, sigmoid, softplus, leaky ReLU
batch_norm      by the batch, or by running means; momentum is the weight of the new batch
dropout         a mask by seed, name and counters
row_norm        rows at unit length
switch          rows replaced where a mask says so; masks of exactly so many rows
margins         dot products: row by row, of a difference, with candidates, of all pairs
losses          BPR, squared and absolute error, (squared) lengths of rows, variance of losses, KL between softmaxes
softmax         with a mask, along any axis; weighted sums of parts
contrastive     NCE over candidates, InfoNCE over a batch, uniformity
gaussian        KL between two Gaussians and to the standard one, reparametrised samples
experts         a mixture of experts, by a softmax or tanh gate
fusion          available modalities weighted by attention
graph           products with a sparse matrix, normalised adjacency, LightGCN
--------------  ------------------------------------------------------------------------------------------------------
tables          what optimisers share: named tables, coupled L2, states for .npz files
adam            Adam, dense and by rows (exact or lazy)
sgd             gradient descent with momentum, Adagrad
schedules       learning rates by step
several         several optimisers over disjoint tables
--------------  ------------------------------------------------------------------------------------------------------
arrays          NumPy or CuPy
keyed           random numbers by seed, name and counters, the same on both devices
reduction       mean, sum or none
device          three kernels for CuPy: gathered rows, sums by id, products with a sparse matrix
gradcheck       proof by finite differences
==============  ======================================================================================================

Same bits every time: sums by id and graph products run in one fixed order on either device, and masks are integer
arithmetic. `linear_rows` on the host has the same bits for any number of threads. Not promised: matrix products (BLAS,
cuBLAS) and sums over rows have other last bits on other processors, shapes or numbers of threads, and normal numbers
differ in their last bits between the devices.
"""
