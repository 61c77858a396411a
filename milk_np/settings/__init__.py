"""Settings: what one is, the table of those that all models share, and the names that several parts choose from."""
