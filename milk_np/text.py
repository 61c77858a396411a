"""Parts of messages: the version, sizes, durations, the most similar known name."""

from __future__ import annotations

import math
from collections.abc import Iterable

VERSION = "0.1.0"


def bytes_text(size: float) -> str:
    """A size in binary MB or GB, such as 3.4 GB."""
    if math.isinf(size):
        return "no limit"
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.1f} MB"


def nearest(name: str, names: Iterable[str], least: float = 0.7) -> str:
    """A suggestion of the known name most similar to a mistyped one, or an empty text if none is as similar as `least`,
    of 1."""
    import difflib  # here, so that importing the package stays cheap

    known = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=least)
    return f"; did you mean {known[close[0]]}?" if close else ""


def clock_text(seconds: float) -> str:
    """Seconds as 12.3 s, 2:05 min or 1:02:05 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"
