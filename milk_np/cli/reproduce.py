"""milk-reproduce: the paper's tables and figures on your own data, with tuning, repeats, tests and a report."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from milk_np.cli.common import run_command
from milk_np.cli.experiment_options import QUICK, SHARED, add_search, sayer, shared_options
from milk_np.cli.parser import Parser, add_common, add_settings
from milk_np.cli.settings import read_settings
from milk_np.errors import SettingsError
from milk_np.machine.threads import allowed_cores
from milk_np.models import registry
from milk_np.settings.names import PROTOCOLS
from milk_np.text import nearest

if TYPE_CHECKING:
    from milk_np.experiments.variants import Experiment

PROGRAM = "milk-reproduce"
DESCRIPTION = """Reproduce the paper's experiments on data sets made by milk-prepare.

EXPERIMENT is fig1, table2, fig3, table3, table4, fig4, fig5, fig6, beyond or all. A repeat draws the
new items, the missing modalities and the training seed again. Every model that has settings to
search is tuned first, with the same number of trials and one of its defaults, on the validation
items of the first repeat. Finished runs are kept in DIR/runs and never repeated, so the same command
continues after an interruption. DIR/report.html has tables, plots and tests; CSV, Markdown, LaTeX and
JSON files are written next to it."""
EXAMPLES = (
    "milk-reproduce table2 --data shop.npz --out results/shop",
    "milk-reproduce table2 --data shop.npz --systems svd-ridge,milk --repeats 12 --search halving --out results/few",
    "milk-reproduce all --data lfm2k.npz --data tiktok.npz --repeats 5 --out results/all",
    "milk-reproduce fig4 --data shop.npz --repeats 2 --trials 4 --max-epochs 50 --out results/quick",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `milk-reproduce`; returns the exit code."""
    return run_command(PROGRAM, _run, argv)


def _run(line: list[str]) -> int:
    given = _parser().parse_args(line)
    from milk_np.experiments.reproduce import Reproduction, ReproductionPlan

    start = time.perf_counter()
    plan = ReproductionPlan(
        data=tuple(Path(path) for path in given.data),
        experiments=_chosen(given.experiment, _systems(given.systems), _protocols(given.protocols)),
        base=read_settings(given, QUICK, registry.DEFAULT),
        out=Path(given.out),
        repeats=given.repeats,
        seed=given.seed,
        trials=given.trials,
        search=given.search,
        new_items=given.new_items,
        jobs=given.jobs or allowed_cores(),
    )
    whole = Reproduction(plan, sayer(given.quiet, start))
    try:
        whole.look() if given.report_only else whole.go()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; finished runs are kept, the same command continues") from None
    from milk_np.reports.experiments import write_reports

    print(write_reports(whole, [PROGRAM, *line]))
    return 0


def _parser() -> Parser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    parser.usage = "%(prog)s EXPERIMENT --data FILE --out DIR [options]"
    names = "fig1, table2, fig3, table3, table4, fig4, fig5, fig6, beyond, all"
    parser.add_argument("experiment", metavar="EXPERIMENT", help=names)
    parser.add_argument("--data", metavar="FILE", action="append", required=True, help="data set; may be repeated")
    parser.add_argument("--out", metavar="DIR", required=True, help="folder for the results")
    parser.add_argument("--report-only", action="store_true", help="run nothing; write the report of the finished runs")
    parser.add_argument(
        "--systems", metavar="NAMES", default="", help="only the rows of these models, and random order (default: all)"
    )
    parser.add_argument(
        "--protocols",
        metavar="NAMES",
        default="",
        help="only these protocols, where an experiment has them (default: all of the experiment)",
    )
    add_search(parser)
    add_common(parser)
    add_settings(parser, SHARED, registry.settings_class(registry.DEFAULT), QUICK, shared_options())
    return parser


def _systems(text: str) -> tuple[str, ...]:
    """Models that --systems names; SettingsError for one that isn't registered."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        if name not in registry.MODELS:
            raise SettingsError(
                f"--systems: got {name!r}, expected one of {', '.join(registry.MODELS)}{nearest(name, registry.MODELS)}"
            )
    return names


def _protocols(text: str) -> tuple[str, ...]:
    """Protocols that --protocols names; SettingsError for an unknown one."""
    names = tuple(part.strip().upper() for part in text.split(",") if part.strip())
    for name in names:
        if name not in PROTOCOLS:
            raise SettingsError(f"--protocols: got {name!r}, expected one of {', '.join(PROTOCOLS)}")
    return names


def _chosen(name: str, systems: Sequence[str], protocols: Sequence[str]) -> tuple[Experiment, ...]:
    from milk_np.experiments.catalogue import experiments
    from milk_np.experiments.variants import has_rows, restricted, under

    known = experiments()
    if name != "all" and name not in known:
        raise SettingsError(f"EXPERIMENT: expected one of {', '.join(known)}, all; got {name!r}")
    chosen = [each for each in known.values() if has_rows(each, systems)] if name == "all" else [known[name]]
    return tuple(under(restricted(each, systems), protocols) for each in chosen)


if __name__ == "__main__":
    sys.exit(main())
