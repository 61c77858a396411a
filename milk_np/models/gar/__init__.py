"""GAR: a generator of item vectors against a recommender that tells them apart (Chen et al., SIGIR 2022)."""
