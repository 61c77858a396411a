"""Training by steps: batches, the loop, its progress, and the run folder."""
