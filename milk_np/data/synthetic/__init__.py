"""Synthetic data sets with a known structure."""
