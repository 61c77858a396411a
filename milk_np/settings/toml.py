"""TOML files of settings: read with the standard library, written value by value."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from milk_np.errors import SettingsError


def read_toml(path: str | Path) -> dict[str, object]:
    """Keys and values of a TOML file; raises SettingsError if it can't be read or parsed."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"--config {path}: {error.strerror}; give the path of a TOML file") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise SettingsError(f"--config {path}: not a TOML file ({error})") from error


def toml_value(value: object) -> str:
    """A number, text, boolean or sequence of them as TOML."""
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(toml_value(part) for part in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)
