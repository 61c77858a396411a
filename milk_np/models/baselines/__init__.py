"""Models without training: baselines that a trained one should beat."""
