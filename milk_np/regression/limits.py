"""Sizes above which the closed form looks at some of what there is, which its need of memory follows from too."""

from __future__ import annotations

MOST_SETS = 15
"""Sets of owned modalities up to which all get a regression of their own: those of four modalities."""
CHOICE_ITEMS = 512
"""Most training items whose leave-one-out error the kernel is chosen by."""
HELD_ITEMS = 8192
"""Most training items of which some are held out in turn."""
HELD_LANDMARKS = 512
"""Most landmarks among them: for a choice the kernel may be coarser."""
HELD_USERS = 4096
"""Most users whose lists of held-out items are looked at, in each fold."""
