"""JSON from files: whatever stands there, it is read or refused with the file's name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from milk_np.errors import DataError

HALVES = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
"""Halves of a character: two that belong together are one, one alone can't be written anywhere."""


def parse_json(text: str | bytes, where: object) -> Any:
    """The value; DataError, which begins with `where`, for anything else.

    That is also for numbers and nesting without end, and for text with half a character.
    """
    try:
        raw = text if isinstance(text, bytes) else text.encode()
        value = json.loads(raw)
        if HALVES.search(raw):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise DataError(f"{where}: not JSON ({error}); was it edited?") from None


def json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; DataError if it can't be read or holds something else."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from error
    value = parse_json(text, path)
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value
