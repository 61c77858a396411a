"""What bounds the work of the closed form, and so its need of memory, which is told before it starts."""

from __future__ import annotations

MOST_SETS = 15
"""Sets of owned modalities up to which all get a regression of their own: those of four modalities."""
MANY_SETS = 31
"""Sets of more modalities that get one, at most: those of five."""
SETS_PER_MODALITY = 3
"""Or, where that is more, as many for each modality: room for all but one, for each alone, and as many again."""
TRIED = (0.0, 0.5, 1.0)
"""Exponents of whitening that are tried where none is given."""
CHOICE_ITEMS = 512
"""Most training items whose leave-one-out error the weights of modalities are chosen by."""
HELD_ITEMS = 8192
"""Most training items of which some are held out in turn."""
HELD_LANDMARKS = 512
"""Most landmarks among them: for a choice the kernel may be coarser."""
FOLDS = 4
"""Parts of the other items, each of which is held out in turn."""
HELD_USERS = 4096
"""Most users whose lists of held-out items are looked at, in each fold."""
KEPT_BYTES = 1 << 28
"""Most memory for what kernels that differ in noise alone share while held-out items are ranked."""
MOST_EVEN = 4
"""Modalities up to which exposure can be evened: every combination of them has a regression."""
EVEN_USERS = 1024
"""Users of each fold, at most, whose lists decide how vectors of items are adjusted."""


def most_sets(M: int) -> int:
    """Sets of owned modalities of `M` that get a regression of their own, at most: linear in M, not 2^M."""
    every = int(2**M) - 1
    return every if every <= MOST_SETS else max(MANY_SETS, SETS_PER_MODALITY * M)


def held_sets(M: int) -> int:
    """Sets of `M` modalities that items are held out with: all, all but one, and each alone."""
    return 1 + (M if M > 2 else 0) + (M if M > 1 else 0)
