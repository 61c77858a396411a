"""What the runs say about the paper's claims."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from milk_np.evaluation.significance import LEVEL, holm, paired
from milk_np.experiments.catalogue import CLAIMS
from milk_np.experiments.reproduce import DataSet, Reproduction
from milk_np.experiments.summary import Found, lost, over_users
from milk_np.experiments.variants import Claim

Verdict = Literal["holds", "tends to hold", "not shown", "the opposite tends to hold", "the opposite holds"]
METRIC = "ndcg@20"


@dataclass(frozen=True)
class Judged:
    """A claim on a data set: `effect` in per cent of the other variant (percentage points for a loss), p values
    Holm-corrected over the claims of the data set, and the verdict."""

    claim: Claim
    data: DataSet
    better: float
    worse: float
    effect: float
    p_users: float
    p_repeats: float
    wins: int
    repeats: int

    @property
    def verdict(self) -> Verdict:
        """ "holds" needs p < .05 over repeats and, if users can be paired, over users; "tends to hold" needs all
        repeats to agree. A claim that two variants are the same fails if the first is significantly better."""
        known = [p for p in (self.p_users, self.p_repeats) if not math.isnan(p)]
        sure = bool(known) and all(p < LEVEL for p in known)
        if self.claim.same:
            return "the opposite holds" if sure and self.effect > 0 else "holds"
        if sure:
            return "holds" if self.effect > 0 else "the opposite holds"
        if self.repeats > 1 and self.wins in (0, self.repeats):
            return "tends to hold" if self.wins else "the opposite tends to hold"
        return "not shown"


def judge(whole: Reproduction, ds: DataSet) -> list[Judged]:
    """Every claim whose experiment has finished repeats on the data set, with verdicts."""
    found = {experiment.name: Found(whole, ds, experiment) for experiment in whole.plan.experiments}
    judged = [
        _one(claim, found[claim.experiment], ds)
        for claim in CLAIMS
        if claim.experiment in found and _compared(claim, found[claim.experiment])
    ]
    return _corrected(judged)


def _compared(claim: Claim, found: Found) -> bool:
    """Whether both of a claim's variants are rows of the experiment with finished repeats."""
    return all((claim.protocol, label) in found.runs for label in (claim.better, claim.worse))


def _one(claim: Claim, found: Found, ds: DataSet) -> Judged:
    better = found.values(claim.protocol, claim.better, "all", METRIC)
    worse = found.values(claim.protocol, claim.worse, "all", METRIC)
    p_users = math.nan
    if claim.loss:
        better = lost(found.values(claim.loss, claim.better, "all", METRIC), better)
        worse = lost(found.values(claim.loss, claim.worse, "all", METRIC), worse)
    else:
        p_users = over_users(found, claim.protocol, claim.better, claim.worse, METRIC)
    over_repeats = paired(np.array(better), np.array(worse))
    effect = 100 * over_repeats.difference if claim.loss else over_repeats.effect
    wins = sum(b > w for b, w in zip(better, worse, strict=True))
    means = float(np.mean(better)), float(np.mean(worse))
    return Judged(claim, ds, *means, effect, p_users, over_repeats.p, wins, len(better))


def _corrected(judged: list[Judged]) -> list[Judged]:
    users = holm({each.claim.text: each.p_users for each in judged})
    repeats = holm({each.claim.text: each.p_repeats for each in judged})
    return [
        Judged(**{**vars(each), "p_users": users[each.claim.text], "p_repeats": repeats[each.claim.text]})
        for each in judged
    ]
