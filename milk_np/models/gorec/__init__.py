"""GoRec: a variational autoencoder makes vectors of new items from content (Bai et al., MM 2023)."""
