"""The objective that every training program of the benchmarks computes: weights and reductions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """Weights of the loss `risk + invariance * variance + align * alignment + reg * norms`.

    risk: "sum" (the authors' program) or "mean" (the paper) over the environments' BPR losses; the variance
    over environments is unbiased in both.
    """

    risk: str = "sum"
    invariance: float = 50.0
    align: float = 0.05
    reg: float = 1e-4
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


REFERENCE = Objective()
PAPER = Objective(risk="mean")
OBJECTIVES = {"reference": REFERENCE, "paper": PAPER}
