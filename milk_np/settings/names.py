"""Names that several parts use."""

from __future__ import annotations

METRICS = ("recall", "ndcg", "hr", "mrr", "map", "coverage")
PROTOCOLS = ("FTFT", "FTMT", "MTFT", "MTMT")
MASK = ("protocol", "missing_train", "missing_test", "missing_mix", "missing_seed")
"""Settings that say which modalities are removed."""
GROUPS = ("model", "missing modalities", "training", "objective", "", "evaluation", "machine")
"""Groups of settings in the order in which they are shown; the empty name stands for a model's own groups."""
