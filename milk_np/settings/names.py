"""Names that several parts choose from."""

from __future__ import annotations

METRICS = ("recall", "ndcg", "hr", "mrr", "map", "coverage")
PROTOCOLS = ("FTFT", "FTMT", "MTFT", "MTMT")
MODELS = ("milk", "duif", "duif-raw", "kernel-profile", "random", "profile", "similar")
