"""Models: one folder each, named in the table of `milk_np.models.registry`."""
