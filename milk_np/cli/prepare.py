"""milk-prepare: from raw interactions and features to a data set."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from milk_np.cli.common import run_command
from milk_np.cli.prepare_options import (
    MASK_SETTINGS,
    PROGRAM,
    RAW_OPTIONS,
    SOURCE_OPTIONS,
    SYNTHETIC_OPTIONS,
    make_parser,
)
from milk_np.cli.prepare_source import import_source, refuse
from milk_np.cli.settings import given_settings
from milk_np.errors import SettingsError

if TYPE_CHECKING:
    from milk_np.data import Dataset
    from milk_np.data.missing import Mask
    from milk_np.data.synthetic.planted import Plan


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(PROGRAM, body, argv)


def body(line: list[str]) -> int:
    """Parse the line and make, or describe, a data set."""
    given = make_parser().parse_args(line)
    if given.info is not None:
        return _info(given)
    _check(given)
    if given.synthetic:
        return _synthetic(given)
    ds = _with_mask(import_source(given), mask_of(given))
    _write(ds, given)
    _report(ds, given)
    return 0


def _info(given: argparse.Namespace) -> int:
    from milk_np.data import Dataset

    if given.sources or given.out is not None:
        raise SettingsError("--info: writes nothing, so give it alone; leave out SOURCE and --out")
    print(Dataset.load(given.info).statistics())
    return 0


def _check(given: argparse.Namespace) -> None:
    """Check that the options fit the kind of source."""
    if given.out is None:
        raise SettingsError("--out: expected a place to write to, FILE.npz or a folder, got nothing")
    if given.out.suffix in (".npy", ".zip", ".csv", ".tsv", ".parquet", ".json"):
        raise SettingsError(f"--out: expected a name ending in .npz, or a folder, got {given.out}")
    if given.shards and given.out.suffix == ".npz":
        raise SettingsError(f"--out: with --shards expected the name of a folder, got {given.out}")
    if given.synthetic:
        if given.sources:
            raise SettingsError(f"SOURCE: expected none with --synthetic, got {given.sources[0]}")
        refuse(given, (*SOURCE_OPTIONS, *RAW_OPTIONS, "format"), "raw data, not to --synthetic")
        return
    if not given.sources:
        raise SettingsError("SOURCE: expected a table, a folder or a data set (or --synthetic), got nothing")
    refuse(given, SYNTHETIC_OPTIONS, "--synthetic")


def mask_of(given: argparse.Namespace) -> Mask | None:
    """The mask of the requested protocol, if any."""
    from milk_np.data.missing import Mask

    names = {"missing_mix": "mix", "missing_seed": "seed"}
    options: dict[str, Any] = {k: v for k, v in given_settings(given).items() if k in MASK_SETTINGS}
    if options and options.get("protocol") is None:
        name = next(iter(options)).replace("_", "-")
        raise SettingsError(f"--{name}: has no effect without --protocol (FTFT, FTMT, MTFT, MTMT); add it")
    return Mask(**{names.get(key, key): value for key, value in options.items()}) if options else None


def _with_mask(ds: Dataset, mask: Mask | None) -> Dataset:
    from milk_np.data import apply_protocol

    return ds if mask is None else apply_protocol(ds, **asdict(mask))


def _write(ds: Dataset, given: argparse.Namespace) -> None:
    from milk_np.data.shards import write_shards

    if given.shards:
        write_shards(ds, given.out, given.shards)
    else:
        ds.save(given.out)


def _synthetic(given: argparse.Namespace) -> int:
    """Make synthetic data: in memory for a file, in blocks for a folder."""
    from milk_np.data import Dataset, write_synthetic
    from milk_np.data.synthetic.planted import make_planned

    plan, mask = _plan(given), mask_of(given)
    if given.out.suffix == ".npz" or given.shards:
        ds = _with_mask(make_planned(plan), mask)
        _write(ds, given)
        _report(ds, given)
        return 0
    write_synthetic(given.out, plan, mask)
    if not given.quiet:
        _report(Dataset.load(given.out, check_features=False), given)
    return 0


def _plan(given: argparse.Namespace) -> Plan:
    from milk_np.data.synthetic.planted import Plan

    sizes = {"users": "n_users", "items": "n_items", "pairs": "n_pairs", "seed": "seed", "name": "name"}
    chosen = {field: getattr(given, name) for name, field in sizes.items() if getattr(given, name) is not None}
    widths = None if given.widths is None else dict(map(_width, given.widths))
    return Plan(**chosen, widths=widths, half=given.half)


def _width(text: str) -> tuple[str, int]:
    name, _, width = text.partition("=")
    if not name or not width.isdecimal():
        raise SettingsError(f"--widths: expected NAME=D, such as image=128, got {text!r}")
    return name, int(width)


def _report(ds: Dataset, given: argparse.Namespace) -> None:
    if given.quiet:
        return
    print(ds.statistics())
    print(f"\nWrote {given.out} ({_size(given.out) / 1e6:,.1f} MB)")


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    sys.exit(main())
