"""The report of `milk-reproduce`: report.html, and its tables as CSV, Markdown, LaTeX and JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from milk_np.experiments.claims import Judged, judge
from milk_np.experiments.reproduce import DataSet, Reproduction
from milk_np.experiments.summary import Table, summarise
from milk_np.experiments.variants import Experiment
from milk_np.files import write_json_atomic, write_text_atomic
from milk_np.files.parsing import json_object
from milk_np.machine.environment import environment
from milk_np.reports import numbers, page
from milk_np.reports.experiment_plots import plots_of
from milk_np.reports.markup import Markup, tag
from milk_np.reports.tables import not_run, plain, to_csv, to_latex, to_markdown

NOTES = (
    "A repeat draws the new items, the missing modalities and the training seed again. Deviations are sample standard "
    "deviations over repeats. p users: Student's paired t-test over the test users of all repeats; the users of a "
    "repeat share one trained model, so this test ignores the variation between training runs. p repeats: the same "
    "test over the means of the repeats, which are few. Both are Holm-corrected within their column.",
    "Settings were chosen on the validation items of the first repeat, with the same number of trials for every "
    "model, beside its defaults; test items were not used. Core seconds and memory are those of one fit, medians over "
    "repeats: memory is the most that the process held on top of the loaded data. Complete new items (FTFT) use the "
    "settings found under FTMT, since the training data are the same.",
)


_LEVELS = "Every table includes random order, and effects in per cent of the baseline that it names."


def write_reports(whole: Reproduction, command: Sequence[str]) -> str:
    """Write every file into the plan's folder from the finished runs; returns the text to print."""
    out, tables = whole.plan.out, _tables(whole)
    judged = {ds.hash: judge(whole, ds) for ds in whole.data}
    known = environment(command)
    write_text_atomic(out / "report.html", _html(whole, tables, judged, known))
    write_text_atomic(out / "results.csv", to_csv(tables))
    write_text_atomic(out / "results.md", to_markdown(tables))
    write_text_atomic(out / "results.tex", to_latex(tables))
    write_json_atomic(out / "results.json", _json(whole, tables, judged, known))
    lines = [_line(each) for ds in whole.data for each in judged[ds.hash]]
    lines += [f"{each.experiment.name}, {each.data.name}: {not_run(each)}" for each in tables if each.left_out]
    return "\n".join([*lines, f"report in {out / 'report.html'}"])


def _tables(whole: Reproduction) -> list[Table]:
    every = [summarise(whole, ds, experiment) for experiment in whole.plan.experiments for ds in whole.data]
    return [table for table in every if table is not None]


def _line(each: Judged) -> str:
    return f"{each.data.name:<24} {each.verdict:<20} {numbers.per_cent(each.effect):>9}  {each.claim.text}"


def _html(whole: Reproduction, tables: list[Table], judged: dict[str, list[Judged]], known: dict[str, Any]) -> str:
    names = {experiment.name: experiment.title for experiment in whole.plan.experiments}
    sections = {"claims": "Claims", **names, "tuning": "Tuning", "about": "About this report"}
    parts = [_experiment(whole, experiment, tables) for experiment in whole.plan.experiments]
    title = "New items with missing modalities: experiments"
    intro = tag("p", f"{_count(len(whole.data), 'data set')}, {_count(whole.plan.repeats, 'repeat')}. {_LEVELS}")
    return page.page(
        title,
        intro,
        page.contents(sections),
        page.section("claims", "Claims", _claims(whole, judged)),
        *parts,
        page.section("tuning", "Tuning", _tuning(whole)),
        page.section("about", "About this report", _about(whole, tables, known)),
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _claims(whole: Reproduction, judged: dict[str, list[Judged]]) -> list[Markup]:
    shown = [_claims_of(ds, judged[ds.hash]) for ds in whole.data if judged[ds.hash]]
    note = (
        "NDCG@20 at tuned settings. A claim, or its opposite, holds if both p values are below .05 after Holm's "
        "correction over all claims of the data set; it tends to hold if all repeats agree."
    )
    return [tag("p", note), *shown]


def _claims_of(ds: DataSet, judged: list[Judged]) -> Markup:
    head = ("claim", "verdict", "effect", "repeats in favour", "p users", "p repeats")
    rows = []
    for each in judged:
        effect = numbers.per_cent(each.effect)
        effect = effect.replace("%", "points") if each.claim.loss else effect
        verdict = tag("span", each.verdict, class_=_colour(each.verdict))
        wins = f"{each.wins} of {each.repeats}"
        text = f"{each.claim.text} ({each.claim.protocol})"
        rows.append((text, verdict, effect, wins, numbers.p_value(each.p_users), numbers.p_value(each.p_repeats)))
    return page.table(ds.name, head, rows, words=frozenset({1}), class_="key")


def _colour(verdict: str) -> str | None:
    if "opposite" in verdict:
        return "bad"
    return "good" if verdict.startswith(("holds", "tends")) else None


def _experiment(whole: Reproduction, experiment: Experiment, tables: list[Table]) -> Markup:
    mine = {table.data.hash: table for table in tables if table.experiment.name == experiment.name}
    parts: list[object] = [tag("p", experiment.what)]
    for ds in whole.data:
        parts.append(tag("h3", ds.name))
        if ds.hash in mine:
            parts += _data_set(mine[ds.hash])
        else:
            parts.append(tag("p", _why_not(ds, experiment), class_="muted"))
    return page.section(experiment.name, experiment.title, *parts)


def _why_not(ds: DataSet, experiment: Experiment) -> str:
    if ds.modalities < experiment.modalities:
        return f"Left out: it needs {experiment.modalities} modalities, but this data set has {ds.modalities}."
    return "No repeat is finished yet; the same command continues."


def _data_set(table: Table) -> list[Markup]:
    shown = [page.plots(*plots_of(table))]
    for title, head, rows in plain(table):
        protocol, what = title.split(",")[:2]
        best = frozenset[int]() if what.startswith(" exposure") else _best(table, protocol)
        shown.append(page.table(title, head, rows, best))
    settings = {f"{label}, {protocol}": _settings(found) for (protocol, label), found in table.settings.items()}
    note = f"{table.runs} runs, {numbers.duration(table.seconds)} of training in total"
    shown.append(page.more(f"Settings ({note})", page.key_values("Settings that differ from the defaults", settings)))
    return shown


def _best(table: Table, protocol: str) -> frozenset[int]:
    column = next(column for column in reversed(table.columns) if column[0] == protocol)
    if table.experiment.kind == "groups":
        column = next(column for column in table.columns if column[0] == protocol)
    return frozenset(row for row, label in enumerate(table.labels) if table.cells[column][label].best)


def _settings(found: dict[str, Any]) -> str:
    hidden = ("seed", "missing_seed", "risk", "negatives")
    return ", ".join(f"{name} {_said(value)}" for name, value in found.items() if name not in hidden)


def _said(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, (tuple, list)) else f"{value}"


def _tuning(whole: Reproduction) -> list[Markup]:
    shown = [tag("p", NOTES[1])]
    for ds, tuned in whole.searched():
        rungs = ["rungs"] if tuned.rungs else []
        head = [*tuned.trials[0][0], *rungs, f"validation {tuned.metric}"]
        rows = [[*map(_said, config.values()), numbers.metric(value)] for config, value in tuned.trials]
        for row, reached in zip(rows, tuned.rungs, strict=False):
            row.insert(-1, str(reached))
        best = frozenset([tuned.winner])
        caption = f"{ds.name}, {tuned.family}, {tuned.protocol}"
        shown.append(page.more(f"{caption}: {_count(len(rows), 'trial')}", page.table(caption, head, rows, best)))
    return shown


def _about(whole: Reproduction, tables: list[Table], known: dict[str, Any]) -> list[Markup]:
    plan = whole.plan
    data = [
        (ds.name, f"{ds.users:,}", f"{ds.items:,}", f"{ds.pairs:,}", ds.modalities, tag("code", ds.hash[:16]))
        for ds in whole.data
    ]
    facts = {
        "command": tag("code", " ".join(known["command"])),
        "repeats": f"{plan.repeats}, seeds {plan.draws.start} to {plan.draws.stop - 1}",
        "new items": _new_items(whole),
        "search": f"{plan.trials} trials per model and protocol, {plan.search}, validation items of seed {plan.seed}",
        "shared settings": _settings({k: v for k, v in plan.base.to_dict().items() if k in _SHOWN}),
        "training": _training_time(whole),
        "processor": f"{known['cpu']}, {known['cores']} cores, {plan.jobs} runs in parallel",
        "milk_np": known["milk_np"],
        "Python": known["python"],
        "libraries": ", ".join(f"{name} {version}" for name, version in known["libraries"].items()),
    }
    head = ("data set", "users", "items", "pairs", "modalities", "hash")
    return [
        tag("p", NOTES[0]),
        page.table("Data", head, data),
        page.key_values("This run", facts),
        tag(
            "p",
            "The same tables as files: results.csv, results.md, results.tex, results.json; the search: tuning.json.",
        ),
    ]


def _new_items(whole: Reproduction) -> str:
    """How new items are found."""
    plan, kept = whole.plan, [ds.name for ds in whole.data if whole.plan.keeps(ds)]
    drawn = f"{plan.share:.0%} of the items, half validation, half test, drawn again in each repeat"
    if not kept:
        return drawn
    own = f"as the data say, the same in each repeat: {', '.join(kept)}"
    return own if len(kept) == len(whole.data) else f"{own}; the others: {drawn}"


def _training_time(whole: Reproduction) -> str:
    """Number of distinct runs and the sum of their times."""
    finished = [json_object(path) for path in whole.store.folder.glob("*.json")]
    seconds = sum(summary.get("seconds", 0.0) for summary in finished)
    return f"{len(finished)} runs, {numbers.duration(seconds)} in total; other load on the machine affects this time"


_SHOWN = ("preset", "dim", "batch_size", "max_epochs", "eval_every", "patience", "valid_metric", "candidates", "impute")


def _json(
    whole: Reproduction, tables: list[Table], judged: dict[str, list[Judged]], known: dict[str, Any]
) -> dict[str, Any]:
    return {
        "environment": known,
        "data": [{"name": ds.name, "hash": ds.hash, "users": ds.users, "items": ds.items} for ds in whole.data],
        "repeats": list(whole.plan.draws),
        "settings": {k: v for k, v in whole.plan.base.to_dict().items() if k in _SHOWN},
        "claims": [_claim_json(each) for ds in whole.data for each in judged[ds.hash]],
        "tables": [_table_json(table) for table in tables],
    }


def _claim_json(each: Judged) -> dict[str, Any]:
    numbers_ = {name: _finite(getattr(each, name)) for name in ("better", "worse", "effect", "p_users", "p_repeats")}
    place = {"data": each.data.name, "claim": each.claim.text, "protocol": each.claim.protocol}
    return {**place, "verdict": each.verdict, **numbers_, "wins": each.wins, "repeats": each.repeats}


def _table_json(table: Table) -> dict[str, Any]:
    columns = []
    for protocol, group, metric in table.columns:
        cells = {
            label: [_finite(v) for v in cell.values] for label, cell in table.cells[protocol, group, metric].items()
        }
        columns.append({"protocol": protocol, "items": group, "metric": metric, "values": cells})
    settings = [{"protocol": p, "variant": label, **found} for (p, label), found in table.settings.items()]
    return {
        "experiment": table.experiment.name,
        "data": table.data.name,
        "not_run": list(table.left_out),
        "runs": table.runs,
        "seconds": round(table.seconds, 1),
        "columns": columns,
        "costs": [
            {"protocol": p, "variant": label, "core_seconds": _finite(cost.core_seconds), "bytes": _finite(cost.bytes)}
            for (p, label), cost in table.costs.items()
        ],
        "exposure": [
            {"protocol": p, "k": found.k, "items": found.items, "pairs": found.pairs, "places": found.places}
            for p, found in table.exposed.items()
        ],
        "settings": settings,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
