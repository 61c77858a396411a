"""Types of options that are no settings: numbers within a range."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """A whole number of at least 1, or argparse's error."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def whole(text: str) -> int:
    """A whole number of at least 0, or argparse's error."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def shard(text: str) -> tuple[int, int]:
    """Part i of n as i/n, or argparse's error."""
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal()) or not 1 <= int(number) <= int(of):
        raise argparse.ArgumentTypeError(f"expected i/n with i from 1 to n, such as 3/8, got {text!r}")
    return int(number), int(of)


def share(text: str) -> float:
    """A share between 0 and 1, or argparse's error."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, got {text!r}")
    return value


def share_or_none(text: str) -> float:
    """A share between 0 and 1, or 0; or argparse's error."""
    return 0.0 if text.strip() in ("0", "0.0") else share(text)
