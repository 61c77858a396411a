"""Where arrays are stored and which kernels work on them."""
