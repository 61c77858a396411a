"""How missing modalities are filled: one file each, found by name."""
