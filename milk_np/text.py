"""Parts of messages: the version, sizes, durations, the most similar known name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

VERSION = "0.1.0"


def printable(text: str, keep: str = "\n\t") -> str:
    """The text with control characters, those in `keep` apart, as `\\x1b`: a terminal would obey them."""
    shown = text.translate(_CONTROLS)
    return shown if shown == text else "".join(one if one in keep else one.translate(_CONTROLS) for one in text)


_HIDDEN = (*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
"""Control characters of ASCII and Latin-1, line separators, and those that turn the direction of writing."""
_CONTROLS = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _HIDDEN}


def bytes_text(size: float) -> str:
    """A size in binary MB or GB, such as 3.4 GB."""
    if math.isinf(size):
        return "no limit"
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.1f} MB"


SIZE = "a size such as 4GB or 512MB"
"""What `size_bytes` expects, in words."""


def size_bytes(text: str) -> int:
    """Bytes of a size such as 3.4 GB, 512M or 1048576, in binary units. Raises ValueError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])?i?b?)", text.strip().lower())
    if found is None:
        raise ValueError(f"got {text!r}, expected {SIZE}")
    return int(float(found[1]) * 1024 ** " kmgt".index(found[2] or " "))


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
