"""Where arrays live and which kernels work on them."""
