"""MILK: multimodality invariant learning for new items (Bai et al., SIGIR 2024)."""
