"""Whether this is a notebook, and its output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Write = Callable[[str], None]
Display = Callable[[str], Write]
"""Shows markup in a cell's output; returns what replaces it there."""


def notebook_display() -> Display | None:
    """The output of the notebook that the program runs in; None elsewhere, IPython in a terminal included."""
    ipython: Any = sys.modules.get("IPython")  # whoever runs in a notebook has imported it
    shell = ipython.get_ipython() if ipython is not None else None
    return _shown if hasattr(shell, "kernel") else None


def _shown(markup: str) -> Write:
    from IPython.display import HTML, display

    handle = display(HTML(markup), display_id=True)
    return lambda changed: handle.update(HTML(changed))
