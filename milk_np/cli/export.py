"""milk-export: a model's vectors, or its item encoder, as files for other programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from milk_np.cli.common import run_command
from milk_np.cli.parser import Parser, add_settings
from milk_np.cli.settings import given_settings
from milk_np.errors import SettingsError
from milk_np.settings.shared import Settings

if TYPE_CHECKING:
    from milk_np.cli.source import Source
    from milk_np.serving.vectors import VectorTable

PROGRAM = "milk-export"
DESCRIPTION = """Write a model's vectors, or its item encoder, for a vector database or another runtime.

A score is the dot product of a user's and an item's vector. The suffix of --out decides the format: .parquet (id,
vector and, with --data, the modalities that an item has), .safetensors, .npy and .faiss (ids in NAME.ids.npy), or
.onnx: the encoder that makes an item's vector from its raw features."""
EXAMPLES = (
    "milk-export --model runs/shop --out items.parquet                 # the new items",
    "milk-export --model runs/shop --what users --out users.parquet",
    "milk-export --model runs/shop --candidates all --out items.faiss",
    "milk-export --model runs/shop --width 64 --out items.parquet      # 64 numbers a vector; users too",
    "milk-export --model runs/shop --out encoder.onnx",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `milk-export`; returns the exit code."""
    return run_command(PROGRAM, body, argv)


def body(line: list[str]) -> int:
    """Parse the line, write the files and name them."""
    given = _parser().parse_args(line)
    device = str(given_settings(given).get("device", Settings().device))
    files = _encoder(given, device) if Path(given.out).suffix.lower() == ".onnx" else _vectors(given, device)
    if not given.quiet:
        print(f"wrote {', '.join(map(str, files))}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    add = parser.add_argument
    add("--model", dest="source", required=True, metavar="RUN|FILE", help="run folder, or model.npz file")
    add("--data", metavar="FILE|DIR", help="export the users and items of this data set (default: the model's)")
    add("--what", choices=("items", "users"), default="items", help="whose vectors (default: items)")
    add("--candidates", choices=("new", "all"), help="which items (default: new)")
    add("--out", required=True, metavar="FILE", help=".parquet, .safetensors, .npy, .faiss or .onnx (no default)")
    add("--width", type=int, metavar="N", help="cut to the N numbers that say most (default: all; see docs/vectors.md)")
    add("--quiet", action="store_true", help="print errors only")
    add_settings(parser, ["device", "threads"])
    return parser


def _vectors(given: argparse.Namespace, device: str) -> list[Path]:
    from milk_np.cli.source import open_source
    from milk_np.serving.vectors import vector_writer, write_vectors

    vector_writer(given.out)
    if given.width is not None and given.width < 1:
        raise SettingsError(f"--width: got {given.width}, expected a whole number of at least 1")
    if given.what == "users" and given.candidates:
        raise SettingsError("--candidates: applies to items; leave it out with --what users")
    source = open_source(given.source, given.data, device)
    table = _users(source) if given.what == "users" else _items(source, given.candidates or "new")
    return write_vectors(given.out, table if given.width is None else _cut(source, table, given.what, given.width))


def _cut(source: Source, table: VectorTable, what: str, width: int) -> VectorTable:
    """`table` on balanced axes, those of the model's own users and items whatever data are exported."""
    from milk_np.models.axes import axes_of
    from milk_np.models.on_data import OnData
    from milk_np.models.stored import StoredModel
    from milk_np.serving.axes import turned

    model: Any = source.model
    known = source.data
    if isinstance(model, OnData) and isinstance(model.model, StoredModel):
        model, known = model.model, model.model.catalogue
    axes = axes_of(model, known.n_users, known.n_items).cut(width)
    return replace(table, vectors=turned(table.vectors, axes.users if what == "users" else axes.items))


def _users(source: Source) -> VectorTable:
    from milk_np.serving.recommend import served_users
    from milk_np.serving.vectors import VectorTable

    numbers = served_users(source.model, source.data.n_users)
    return VectorTable(source.user_index.words(numbers.tolist()), source.model.user_factors(numbers))


def _items(source: Source, candidates: str) -> VectorTable:
    from milk_np.serving.recommend import candidate_items
    from milk_np.serving.vectors import VectorTable

    numbers = candidate_items(source.data, candidates)
    available = getattr(source.data, "available", None)
    owned = None if available is None else available[numbers]
    names = source.item_index.words(numbers.tolist())
    return VectorTable(names, source.model.item_factors(numbers), owned, source.modalities)


def _encoder(given: argparse.Namespace, device: str) -> list[Path]:
    from milk_np.cli.model_file import load_model
    from milk_np.files.writing import write_atomic
    from milk_np.serving.vectors import require_extra

    if given.width is not None:
        raise SettingsError("--width: an encoder has all numbers of its model; leave it out with .onnx")
    require_extra("onnx", "onnx", ".onnx files")
    graph = load_model(given.source, device).encoder_onnx()

    def write(file: object) -> None:
        file.write(graph)  # type: ignore[attr-defined]

    write_atomic(given.out, write)
    return [Path(given.out)]


if __name__ == "__main__":
    sys.exit(main())
