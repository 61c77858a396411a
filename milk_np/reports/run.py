"""The report of a training run: losses, validation metrics, test metrics by missing modalities, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from milk_np.errors import DataError, MilkError
from milk_np.files import write_text_atomic
from milk_np.files.parsing import json_object
from milk_np.models.registry import load_settings
from milk_np.reports import numbers, page
from milk_np.reports.dots import Dots, Point
from milk_np.reports.lines import Curve, Lines
from milk_np.reports.markup import Markup, tag
from milk_np.reports.verdict import is_ahead, verdict
from milk_np.settings.metrics import METRICS
from milk_np.training.progress import parts_of
from milk_np.training.run_folder import ENV, RunFolder

REPORT = "report.html"
NAMES = {"bpr": "ranking (BPR)", "variance": "variance", "alignment": "alignment", "reg": "L2 penalty"}


def write_run_report(run: RunFolder) -> None:
    """Write `report.html` into a finished run's folder, from its files; DataError for files that no run writes."""
    try:
        text = _page(run)
    except MilkError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DataError(
            f"{run.path}: no report can be made of summary.json, env.json and metrics.jsonl "
            f"({type(error).__name__}: {error}); were they edited?"
        ) from error
    write_text_atomic(run.file(REPORT), text)


def _page(run: RunFolder) -> str:
    summary = run.summary() or {}
    known = json_object(run.file(ENV))
    settings = load_settings(run.config).to_dict()
    title = f"{summary['model']} on {summary['data']}, seed {summary['seed']}"
    curves = _training(run.metrics(), str(settings["valid_metric"]), summary)
    body = [
        *(
            [tag("p", _FINAL), *curves]
            if summary.get("final")
            else _held_out(summary, str(settings["valid_metric"]), curves)
        ),
        *_seen(summary),
        page.section("about", "About this run", *_about(summary, settings, known)),
    ]
    return page.page(title, *body)


_FINAL = (
    "A final model: it was trained on every item that has pairs. Nothing was held out, so it has no validation or test "
    "figures; those of the run whose settings it has tell how good it should be."
)


def _held_out(summary: Mapping[str, Any], metric: str, curves: Sequence[Markup]) -> list[Markup]:
    """How well the model ranks items that were held out, with the curves of the training."""
    return [
        tag("p", verdict(summary), class_="good" if is_ahead(summary) else "bad"),
        tag("p", _outcome(summary, metric)),
        *curves,
        page.section("test", "Test", *_test(summary)),
    ]


def _outcome(summary: Mapping[str, Any], metric: str) -> str:
    valid = numbers.metric(summary["valid"][metric])
    steps = "epochs" in summary
    how = f"Best epoch: {summary['best_epoch']} of {summary['epochs']}" if steps else "Fitted in closed form"
    return f"{how}, validation {metric} {valid}. All results below are on new items."


def _training(records: Sequence[Mapping[str, Any]], metric: str, summary: Mapping[str, Any]) -> list[Markup]:
    """Curves of training by steps; nothing for a closed form."""
    return [page.section("curves", "Training", *_curves(records, metric, summary))] if records else []


def _curves(records: Sequence[Mapping[str, Any]], metric: str, summary: Mapping[str, Any]) -> list[Markup]:
    evaluated = [record for record in records if "valid" in record]
    epochs = [float(record["epoch"]) for record in records]
    parts = [
        Curve(NAMES.get(name, name), epochs, [record["losses"][name] for record in records])
        for name in parts_of(records[0]["losses"])
        if any(record["losses"].get(name) for record in records)
    ]
    shown = [page.plot(_losses(parts), "Weighted parts of the loss, mean over each epoch, on a logarithmic axis.")]
    if evaluated:
        words = f"{metric} on validation items; the best epoch is {summary['best_epoch']}."
        shown.append(page.plot(_valid(evaluated, metric), words))
        others = [name for name in (f"recall@{metric.split('@')[1]}",) if name in evaluated[0]["valid"]]
        shown += [
            page.plot(_valid(evaluated, name), f"{name} on validation items.") for name in others if name != metric
        ]
    return [page.plots(*shown)]


def _losses(parts: Sequence[Curve]) -> Markup:
    return Lines("Loss", "epoch", "weighted loss", parts, logarithmic=True).svg()


def _valid(evaluated: Sequence[Mapping[str, Any]], metric: str) -> Markup:
    x, y = ([float(value) for value in column] for column in zip(*_pairs(evaluated, metric), strict=True))
    return Lines(f"Validation {metric}", "epoch", metric, [Curve(metric, x, y)]).svg()


def _pairs(evaluated: Sequence[Mapping[str, Any]], metric: str) -> list[tuple[float, float]]:
    return [(record["epoch"], record["valid"][metric]) for record in evaluated]


def _test(summary: Mapping[str, Any]) -> list[Markup]:
    systems = {summary["model"]: summary["test"], **summary["beside"]}
    k = max(int(name.split("@")[1]) for name in summary["test"] if "@" in name)
    groups = list(summary["test"]["slices"])
    caption = (
        f"NDCG@{k} on test items, overall and by number of missing modalities, compared with models without training."
    )
    shown = [page.plots(page.plot(_by_group(systems, groups, f"ndcg@{k}"), caption))]
    shown += [_table(name, found, k) for name, found in systems.items()]
    shown += _exposure(systems, k)
    return [*shown, page.more("All lengths of the lists", _cutoffs(systems))]


def _exposure(systems: Mapping[str, Any], k: int) -> list[Markup]:
    """Shares of the places by number of missing modalities; runs of version 0.1.0 have none."""
    shares = {name: found["exposure"] for name, found in systems.items() if len(found.get("exposure", {})) > 1}
    if not shares:
        return []
    first = next(iter(shares.values()))
    rows = [
        [group, *(numbers.metric(first[group][of]) for of in ("items", "pairs")),
         *(numbers.metric(each[group][f"top{k}"]) for each in shares.values())]
        for group in first
    ]  # fmt: skip
    caption = f"Exposure: shares of the candidates, of the test pairs, and of the top {k} places of each model."
    return [page.table(caption, ("items", "candidates", "test pairs", *shares), rows)]


def _cutoffs(systems: Mapping[str, Any]) -> Markup:
    """Every metric at every length K, one row for each length and model."""
    lengths = sorted({int(name.split("@")[1]) for found in systems.values() for name in found if "@" in name})
    rows = [[str(k), name, *_line("all", found, k)[2:]] for k in lengths for name, found in systems.items()]
    return page.table("Test items, all groups", ("K", "model", *METRICS), rows, words=frozenset({1}))


def _seen(summary: Mapping[str, Any]) -> list[Markup]:
    """Example lists and statistics of the data; runs of version 0.1.0 kept neither."""
    parts = []
    if "examples" in summary:
        words = (
            "New items for a few users, spread evenly over all users of the test split. A list is best first; "
            "the last column says which items the user really chose."
        )
        parts.append(page.section("examples", "Example lists", tag("p", words), *map(_example, summary["examples"])))
    if "statistics" in summary:
        parts.append(page.section("data", "Data", page.text("Statistics of the data set", summary["statistics"])))
    return parts


def _example(example: Mapping[str, Any]) -> Markup:
    """One user's list, and the first items of their history."""
    more = example["n_history"] - len(example["history"])
    history = (
        ", ".join(example["history"]) + (f" and {more:,} more" if more else "") if example["n_history"] else "none"
    )
    rows = [
        (rank, each["item"], f"{each['score']:.4f}", ", ".join(each["missing"]) or "–", "yes" if each["chosen"] else "")
        for rank, each in enumerate(example["list"], 1)
    ]
    best = frozenset(place for place, each in enumerate(example["list"]) if each["chosen"])
    head = ("rank", "item", "score", "missing", "chosen")
    caption = f"user {example['user']}; chose in training: {history}"
    return page.table(caption, head, rows, best, words=frozenset({1, 3, 4}))


def _by_group(systems: Mapping[str, Any], groups: Sequence[str], metric: str) -> Markup:
    rows = []
    for group in ("all", *groups):
        found = [system if group == "all" else system["slices"][group] for system in systems.values()]
        rows.append((group, [Point(values[metric]) for values in found]))
    return Dots("Test by group of items", metric, list(systems), rows).svg()


def _table(name: str, found: Mapping[str, Any], k: int) -> Markup:
    rows = [_line("all", found, k), *(_line(group, values, k) for group, values in found["slices"].items())]
    caption = f"{name}: K = {k}, {found['users']:,} users, {found['n_candidates']:,} candidates"
    return page.table(caption, ("items", "users", *METRICS), rows)


def _line(group: str, values: Mapping[str, Any], k: int) -> list[str]:
    cells = [numbers.metric(values[f"{name}@{k}"]) if f"{name}@{k}" in values else "–" for name in METRICS]
    return [group, f"{values['users']:,}", *cells]


def _about(summary: Mapping[str, Any], settings: Mapping[str, Any], known: Mapping[str, Any]) -> list[Markup]:
    facts = {
        "data": f"{summary['data']}, hash {summary['data_hash'][:16]}",
        "seconds": ", ".join(f"{name} {numbers.duration(value)}" for name, value in summary["seconds"].items()),
        "command": tag("code", " ".join(known["command"])),
        "processor": f"{known['cpu']}, {known['cores']} cores",
        "milk_np": known["milk_np"],
        "Python": known["python"],
        "libraries": ", ".join(f"{name} {version}" for name, version in known["libraries"].items()),
    }
    values = {name: _said(value) for name, value in settings.items()}
    return [page.key_values("Run", facts), page.more("All settings", page.key_values("Settings", values))]


def _said(value: object) -> str:
    if value is None:
        return "not set"
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
