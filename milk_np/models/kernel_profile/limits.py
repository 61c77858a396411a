"""What bounds the work of the closed form, and so its need of memory, which is told before it starts."""

from __future__ import annotations

MOST_SETS = 15
"""Sets of owned modalities up to which all get a regression of their own: those of four modalities."""
TRIED = (0.0, 0.5, 1.0)
"""Exponents of whitening that are tried where none is given."""
CHOICE_ITEMS = 512
"""Most training items whose leave-one-out error the weights of modalities are chosen by."""
HELD_ITEMS = 8192
"""Most training items of which some are held out in turn."""
HELD_LANDMARKS = 512
"""Most landmarks among them: for a choice the kernel may be coarser."""
HELD_USERS = 4096
"""Most users whose lists of held-out items are looked at, in each fold."""
KEPT_BYTES = 1 << 28
"""Most memory for what kernels that differ in noise alone share while held-out items are ranked."""
