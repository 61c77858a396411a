"""MTPR: learn for an item as it is and as it would be without its own vector (Du et al., 2020)."""
