"""Training by steps: batches, the loop, its progress, and the folder that a run is kept in."""
