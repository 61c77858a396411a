"""Changes of files that keep some of their structure: bytes, arrays, archives, JSON, TOML, tables, command lines."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

WORDS = (
    *("", " ", "nan", "NaN", "inf", "-inf", "1e400", "-1", "0", "00", "1.5", "2147483648", "9" * 30, "true", "None"),
    *("null", "\x00", "\x1b[2J", "é", "\ud800", "'", '"', ",", "\t", "\r", "\n", "=1+1", "../..", "/dev/null", "%s%n"),
    *("ſ", "١", "x" * 3000, "[[]]", "{}", "0x10", "1_000", "train", "-", "--"),
)
INTEGERS = (
    0,
    1,
    -1,
    2,
    127,
    128,
    255,
    256,
    32767,
    65535,
    2**31 - 1,
    -(2**31),
    2**31,
    2**32,
    2**53,
    2**63 - 1,
    -(2**63),
)
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e38, 1e308, float("nan"), float("inf"), float("-inf"))
_TYPES = "? i1 u1 i2 i4 u4 i8 u8 f2 f4 f8 c8 U1 U5 S3 M8[s] m8[s] >i4 >f4 V3 f4,i4 U0 O"
TYPES = tuple(_TYPES.split())
DEEP = 3000
"""Nested more deeply than Python recurses."""


class Payload:
    """An object that makes a folder when it is unpickled, which must never happen."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("UNPICKLED",)


# Bytes


def changed_bytes(rng: random.Random, data: bytes) -> bytes:
    """Some bits, bytes or ranges of the data changed."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_BYTES)(rng, data)
    return data


def _flipped(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) or 1)
    return data[:at] + bytes([(data[at] if data else 0) ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _span(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 4, 8, 64, 512)))


def _removed(rng: random.Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + data[end:]


def _repeated(rng: random.Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 1, 3)) + data[end:]


def _blank(rng: random.Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + bytes([rng.choice((0, 255, 32, 48))]) * (end - start) + data[end:]


def _numbered(rng: random.Random, data: bytes) -> bytes:
    start, code = rng.randrange(len(data) + 1), rng.choice("bhiq")
    number = rng.choice(INTEGERS) & ((1 << (8 * struct.calcsize(code))) - 1)
    number_bytes = number.to_bytes(struct.calcsize(code), rng.choice(("little", "big")))
    return data[:start] + number_bytes + data[start + len(number_bytes) :]


def _worded(rng: random.Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + rng.choice(WORDS).encode(errors="surrogatepass") + data[rng.choice((start, end)) :]


_BYTES = (_flipped, _flipped, _cut, _removed, _repeated, _blank, _numbered, _worded)


# Arrays


def changed_array(rng: random.Random, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array with another type, other shape or other values."""
    return rng.choice((_typed, _shaped, _valued, _valued, _valued))(rng, array)


def _typed(rng: random.Random, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    kind = rng.choice(TYPES)
    if kind == "O":
        return np.array([Payload()], object)
    try:
        with np.errstate(all="ignore"):
            return array.astype(kind)
    except (ValueError, TypeError):
        return np.zeros(array.shape, kind)


def _shaped(rng: random.Random, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return rng.choice(_SHAPES)(array) if array.ndim else array[None]


_SHAPES: tuple[Callable[[Any], Any], ...] = (
    lambda x: x[:0],
    lambda x: x[:-1],
    lambda x: x[..., :-1],
    lambda x: x[..., :0],
    lambda x: x[None],
    lambda x: x.reshape(-1),
    lambda x: np.concatenate([x, x]),
    lambda x: x.T,
    lambda x: x.reshape(-1)[0] if x.size else x,
    lambda x: np.asfortranarray(x),
    lambda x: x[::-1],
)


def _valued(rng: random.Random, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    array, kind = array.copy(), array.dtype.kind
    if not array.size:
        return array
    flat = array.reshape(-1)
    for _ in range(rng.choice((1, 1, 3, len(flat)))):
        at = rng.randrange(len(flat))
        if kind in "iu":
            bits = 8 * flat.dtype.itemsize
            number = rng.choice((*INTEGERS, int(flat[at]) + rng.choice((-1, 1)))) & ((1 << bits) - 1)
            flat[at] = number - (1 << bits) if kind == "i" and number >> (bits - 1) else number
        elif kind == "f":
            with np.errstate(all="ignore"):
                flat[at] = rng.choice(FLOATS)
        elif kind == "b":
            flat[at] = not flat[at]
        elif kind == "U":
            flat[at] = rng.choice((*WORDS[:30], str(flat[rng.randrange(len(flat))]))).replace("\ud800", "?")
    return array


def npy(array: np.ndarray[Any, Any]) -> bytes:
    """The array as an `.npy` file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def changed_npy(rng: random.Random, data: bytes) -> bytes:
    """An `.npy` file with another array, or another header."""
    try:
        if rng.random() < 0.5:
            return npy(changed_array(rng, np.load(io.BytesIO(data))))
        return rng.choice((_headed, _headed, changed_bytes))(rng, data)
    except Exception:  # it was changed before, so that it is no such file any more
        return changed_bytes(rng, data)


def _headed(rng: random.Random, data: bytes) -> bytes:
    """Another header before the same data."""
    length = struct.unpack("<H", data[8:10])[0]
    header, rest = data[10 : 10 + length].decode("latin1"), data[10 + length :]
    shape = rng.choice(
        ("()", "(0,)", "(-1,)", "(1,2,3)", "(99999999999,)", "(2147483647, 2147483647)", "(3", "None", "('a',)")
    )
    changes = (
        lambda text: text.replace("'shape': ", f"'shape': {shape}, 'x': ", 1),
        lambda text: text[: text.index("'shape'")] + f"'shape': {shape}, }}",
        lambda text: text.replace("False", rng.choice(("True", "None", "1", "[]"))),
        lambda text: text.replace("descr", rng.choice(("desc", "", "shape"))),
        lambda text: "{'descr': '" + rng.choice(TYPES) + "', " + text[text.index("'fortran") :],
        lambda text: "{'descr': [('a', '<f4', (2,))], " + text[text.index("'fortran") :],
        lambda text: rng.choice(("[" * DEEP, "__import__('os').mkdir('UNPICKLED')", "", "{}", "{'descr'", "\x00" * 9)),
    )
    text = rng.choice(changes)(header.strip())
    encoded = (text + "\n").encode("latin1")
    declared = len(encoded) if rng.random() < 0.9 else rng.choice((0, 1, 65535))
    version = rng.choice((b"\x01\x00",) * 6 + (b"\x02\x00", b"\x03\x00", b"\x00\x00", b"\xff\xff"))
    size = struct.pack("<I" if version[0] in (2, 3) else "<H", declared)
    return data[:6] + version + size + encoded + rest


# Archives


def entries(data: bytes) -> dict[str, bytes]:
    """The entries of a zip archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: list[tuple[str, bytes]], compressed: bool = False) -> bytes:
    """An archive of these entries, which may have the same name."""
    file = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "w", how) as archive:
        for name, data in parts:
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def changed_npz(rng: random.Random, data: bytes) -> bytes:
    """An archive with other entries, whose checksums are right."""
    parts = list(entries(data).items())
    for _ in range(rng.choice((1, 1, 1, 2))):
        at = rng.randrange(len(parts))
        name, content = parts[at]
        match rng.randrange(10):
            case 0:
                parts.pop(at)
            case 1:
                parts[at] = (
                    rng.choice((name.upper(), f"../{name}", name[:-4], "a" * 500 + ".npy", "\x00.npy", "/x.npy")),
                    content,
                )
            case 2:
                parts.append((name, changed_npy(rng, content)))
            case 3:
                parts.append((rng.choice(("extra.npy", "feature_x.npy", "W9.npy", "imputer_a.npy", "x")), content))
            case 4:
                other = rng.randrange(len(parts))
                parts[at], parts[other] = (name, parts[other][1]), (parts[other][0], content)
            case 5 | 6 if name == "meta.npy" or rng.random() < 0.2:
                parts[at] = (name, _meta(rng, dict(parts).get("meta.npy", content)))
            case _:
                parts[at] = (name, changed_npy(rng, content))
        if not parts:
            break
    with_twins = zipped(parts, rng.random() < 0.2)
    return with_twins if rng.random() < 0.9 else changed_bytes(rng, with_twins)


def _meta(rng: random.Random, content: bytes) -> bytes:
    """The text entry with other JSON."""
    try:
        text = str(np.load(io.BytesIO(content)))
        return npy(np.array(changed_json(rng, text.encode()).decode(errors="replace")))
    except Exception:  # it was changed before; a damaged header raises nearly anything
        return content


# JSON and TOML


def odd(rng: random.Random) -> Any:
    """A value that nobody expects."""
    return rng.choice(
        (None, True, False, [], {}, [[]], *INTEGERS, *FLOATS, *WORDS, 10**400, {"a": {"b": []}}, [1, "a"])
    )


def changed_json(rng: random.Random, data: bytes) -> bytes:
    """JSON with another value somewhere, or another text."""
    match rng.randrange(8):
        case 0:
            return changed_bytes(rng, data)
        case 1:
            return rng.choice(
                (b"", b"null", b"[]", b"[" * DEEP, b'{"a":' * DEEP, b"1", b'"x"', b"\xef\xbb\xbf" + data, data + data)
            )
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):  # it was changed before
        return changed_bytes(rng, data)
    for _ in range(rng.choice((1, 1, 2))):
        value = _elsewhere(rng, value)
    return json.dumps(value).encode(errors="surrogatepass")


def _elsewhere(rng: random.Random, value: Any) -> Any:
    """The value with another one at one place."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        match rng.randrange(8):
            case 0:
                return {name: each for name, each in value.items() if name != key}
            case 1:
                return {**value, rng.choice((*WORDS[:12], "extra")): odd(rng)}
        return {**value, key: _elsewhere(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        return [*value[:at], *([_elsewhere(rng, value[at])] * rng.choice((0, 1, 1, 1, 2))), *value[at + 1 :]]
    return odd(rng)


def changed_lines(rng: random.Random, data: bytes) -> bytes:
    """Text with other lines: one gone, twice, in another place, or with another value behind its =."""
    lines = data.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(lines))
        name, equals, value = lines[at].partition(b"=")
        word = rng.choice((*WORDS, *map(str, INTEGERS))).encode(errors="replace")
        match rng.randrange(8):
            case 0:
                lines.pop(at)
            case 1:
                lines.insert(rng.randrange(len(lines)), lines[at])
            case 2:
                lines[at] = changed_bytes(rng, lines[at])
            case 3:
                lines[at] = name + equals + b" [" * rng.choice((1, 3, DEEP)) + value
            case 4:
                lines.insert(
                    at,
                    rng.choice((b"[table]", b"[[a]]", b"a.b = 1", b"'' = 1", b"\x00", b"\xff\xfe", b"x = 1979-05-27")),
                )
            case 5:
                lines[at] = name + equals + b' "' + word + b'"'
            case _:
                lines[at] = name + equals + b" " + word
        lines = lines or [b""]
    return b"\n".join(lines)


# Tables


def changed_table(rng: random.Random, data: bytes) -> bytes:
    """A table of text with other cells, lines, separators or letters."""
    lines = [line.split(b",") for line in data.rstrip(b"\n").split(b"\n")]
    for _ in range(rng.choice((1, 1, 2, 3))):
        row = rng.randrange(len(lines))
        cell = rng.randrange(len(lines[row]) or 1)
        match rng.randrange(9):
            case 0:
                lines[row][cell:] = [rng.choice(WORDS).encode(errors="replace")]
            case 1:
                lines.insert(row, list(lines[row]))
            case 2:
                lines[row] = lines[row] * rng.choice((0, 2, 300)) or [b""]
            case 3:
                lines[row][cell : cell + 1] = [b'"', *lines[row][cell : cell + 1]]
            case 4:
                lines = lines[: row + 1]
            case 5:
                return changed_bytes(rng, b"\n".join(map(b",".join, lines)))
            case _:
                lines[row][cell : cell + 1] = [rng.choice((*WORDS, *map(str, INTEGERS))).encode(errors="replace")]
    separator, end = (
        rng.choice((b",",) * 6 + (b";", b"\t", b"|", b"::", b" ")),
        rng.choice((b"\n",) * 6 + (b"\r\n", b"\r")),
    )
    text = end.join(map(separator.join, lines)) + rng.choice((end, b""))
    match rng.randrange(20):
        case 0:
            return b"\xef\xbb\xbf" + text
        case 1:
            return text.decode(errors="replace").encode("utf-16")
        case 2:
            return b"sep=;\n" + text
    return text
