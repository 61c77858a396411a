"""Models without training: floors that a trained one has to clear."""
