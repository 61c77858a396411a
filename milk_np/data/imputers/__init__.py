"""Imputation of missing modalities, one file per method."""
