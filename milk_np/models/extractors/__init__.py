"""Vectors of users and a linear extractor for each modality, learned from triplets: what several models share."""
