"""Data sets from other formats: one file each, found by names."""
