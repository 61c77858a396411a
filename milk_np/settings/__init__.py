"""Settings: how one is described, those that all models share, and the names that several parts use."""
