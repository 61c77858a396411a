"""milk-train: train on a data set, show how well new items are recommended, and save the run."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from milk_np.cli.common import run_command
from milk_np.cli.ending import advise
from milk_np.cli.final import add_final, final_settings
from milk_np.cli.parser import Parser, add_common
from milk_np.cli.settings import add_model_settings, given_settings, read_settings, refuse_idle_mask
from milk_np.errors import SettingsError
from milk_np.settings.shared import Settings

if TYPE_CHECKING:
    from milk_np.cli.job import Job
    from milk_np.data import Dataset
    from milk_np.data.share import Share
    from milk_np.ranks.group import Ranks

PROGRAM = "milk-train"
DESCRIPTION = """Train a recommender of new items whose modalities may be missing, and evaluate it.

--help shows MILK's options; --model NAME --help (or --preset best --help) those of another model.

Without --data it trains on a built-in synthetic set. The best epoch on the validation items is kept;
the table shows results on the test items, overall and by number of missing modalities, next to a
content profile and random order, which need no training. The run folder holds config.toml, env.json,
log.txt, metrics.jsonl, summary.json, report.html, per_user.npz, model.npz (the best epoch) and
last.npz (for --resume).

Started by mpiexec, each of its processes trains with its own users, to the same bits as one process;
see docs/many-machines.md.

--final trains on every item that has pairs, validation and test items too: the model to serve. It takes the settings
of a finished run (--like) and as many epochs as that run's best, and has no held-out figures of its own."""
EXAMPLES = (
    "milk-train                                               # the built-in set, under a minute",
    "milk-train --data shop.npz --protocol FTMT --out runs/shop --seeds 5",
    "milk-train --data shop.npz --out runs/shop --resume      # continue after Ctrl-C or a crash",
    "milk-train --data shop.npz --final --like runs/shop --out runs/live      # to serve: nothing is held out",
    "mpiexec -n 4 milk-train --data shop.npz --out runs/shop  # four processes, each with its own users",
    "milk-train --data shop.npz --config runs/shop/config.toml --preset reference --max-epochs 100",
)
RESUMABLE = frozenset({"max_epochs", "patience", "device", "threads", "log_every", "seeds"})


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `milk-train`; returns the exit code."""
    return run_command(PROGRAM, _run, argv)


def _run(line: list[str]) -> int:
    given = _parser(line).parse_args(line)
    from milk_np.cli.ranked import together

    with together(PROGRAM) as ranks:
        return _run_on(ranks, given, line)


def _run_on(ranks: Ranks, given: argparse.Namespace, line: list[str]) -> int:
    from milk_np.cli.job import Job
    from milk_np.kernels.cpu.ahead import compiling
    from milk_np.machine import threads

    start = time.perf_counter()
    given.final, settings = ranks.on_first(lambda: _chosen(given))
    with compiling(settings.compiles, threads.own_cores() if settings.device == "cpu" else 1):
        ds, share, settings = _load(given, settings, ranks)
        out = ranks.on_first(lambda: _out(given, ds, settings))
        spent = time.perf_counter() - start
        job = Job(ds, settings, out, bool(given.resume), bool(given.quiet), line, spent, given.final)
        job.share, job.ranks = share, ranks
        return _trained(job, line)


def _chosen(given: argparse.Namespace) -> tuple[bool, Settings]:
    """Whether the run is final, and its settings; both may come from the run's folder."""
    _choose_final(given)
    return given.final, _settings(given)


def _out(given: argparse.Namespace, ds: Dataset, settings: Settings) -> Path:
    from milk_np.training.run_folder import default_folder

    return Path(given.out) if given.out else default_folder(ds.name, settings)


def _trained(job: Job, line: list[str]) -> int:
    """Run the job; an interrupted one says how to go on."""
    job.describe()
    advise(lambda: interrupted_text(job.out, line))
    try:
        job.train_all()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(interrupted_text(job.out, line)) from None
    return 0


def interrupted_text(out: Path, line: Sequence[str]) -> str:
    """How to go on with an interrupted run, and whether anything of it was saved."""
    from milk_np.training.run_folder import LAST, SUMMARY, RunFolder

    if not RunFolder(out).exists:
        return "interrupted"
    again = shlex.join([PROGRAM, *_without_out(line), "--out", str(out), "--resume"])
    saved = any(path.name in (LAST, SUMMARY) for path in out.glob("**/*"))
    kept = "and saved; continue" if saved else "before anything was saved; start again"
    return f"interrupted {kept} with: {again}"


def _parser(line: Sequence[str]) -> argparse.ArgumentParser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    parser.add_argument("--data", metavar="FILE|DIR", help="data set made by milk-prepare (default: the built-in set)")
    parser.add_argument("--out", metavar="DIR", help="run folder (default: runs/DATA-MODEL-PRESET-sSEED-TIME-RANDOM)")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    add_final(parser)
    add_common(parser)
    add_model_settings(parser, line)
    return parser


def _settings(given: argparse.Namespace) -> Settings:
    """Settings of the file, overridden by the line; a resumed run starts from its own, most of which can't change."""
    from milk_np.models.registry import load_settings
    from milk_np.training.run_folder import RunFolder

    if not given.resume:
        return final_settings(given) if given.final else read_settings(given)
    if not given.out:
        raise SettingsError("--resume: give the run folder with --out")
    started = load_settings(RunFolder.reopen(given.out).config)
    if "preset" in given_settings(given) and given.preset not in started.presets:
        raise SettingsError(
            f"preset (--preset): the run in {given.out} was started with {started.preset}, "
            f"--resume can't change it to {given.preset}"
        )
    settings = read_settings(given, started.to_dict())
    changed = [name for name, value in settings.to_dict().items() if value != getattr(started, name)]
    for name in changed:
        if name not in RESUMABLE:
            raise SettingsError(
                f"{name} (--{name.replace('_', '-')}): the run in {given.out} was started with "
                f"{getattr(started, name)}, --resume can't change it to {getattr(settings, name)}"
            )
    return settings


def _load(given: argparse.Namespace, settings: Settings, ranks: Ranks) -> tuple[Dataset, Share | None, Settings]:
    """The data of this rank under the protocol, and the settings with the protocol that applies."""
    from milk_np.cli.shared_data import shared_data
    from milk_np.data import Dataset, make_synthetic
    from milk_np.data.missing import masked

    if given.data is None and settings.protocol is None and not given.final:
        settings = settings.replace(protocol="FTMT")
    refuse_idle_mask(given, settings)

    def load() -> Dataset:
        return make_synthetic() if given.data is None else Dataset.load(given.data)

    def prepare(ds: Dataset) -> Dataset:
        return ds.all_training() if given.final else masked(ds, settings)

    return *shared_data(given.data, settings, ranks, load, prepare), settings


def _choose_final(given: argparse.Namespace) -> None:
    """A resumed run stays what it is: final or not."""
    from milk_np.training.run_folder import RunFolder

    if given.like is not None and (not given.final or given.resume):
        raise SettingsError("--like: goes with --final, when a run begins; leave it out")
    if given.resume and given.out and RunFolder(given.out).exists:
        if given.final and not RunFolder(given.out).final:
            raise SettingsError(f"--final: the run in {given.out} holds items out, --resume can't change that")
        given.final = RunFolder(given.out).final


def _without_out(line: Sequence[str]) -> list[str]:
    """The command line without --out and --resume."""
    kept, skip = list[str](), False
    for part in line:
        if not skip and part not in ("--out", "--resume") and not part.startswith("--out="):
            kept.append(part)
        skip = part == "--out"
    return kept


if __name__ == "__main__":
    sys.exit(main())
