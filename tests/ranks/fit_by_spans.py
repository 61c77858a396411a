"""A program for mpiexec: fit the kernel profile with spans so short that every rank has some; DATA OUT."""

from __future__ import annotations

import sys

from milk_np.data import Dataset
from milk_np.models.kernel_profile import spans
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.ranks.group import ALONE
from milk_np.ranks.launch import launched, open_ranks

if __name__ == "__main__":
    spans.USER_ROWS, spans.PAIRS_OF_AN_ITEM, spans.GROUP = 7, 1, 2
    model, ds = KernelProfile(threads=1), Dataset.load(sys.argv[1])
    model.ranks = open_ranks() if launched() > 1 else ALONE
    assert len(spans.user_spans(ds.n_users, len(ds.train_items), len(ds.user))) > 8
    model.fit(ds)
    if model.ranks.first:
        model.save(sys.argv[2])
