"""milk-reproduce and milk-tune end to end on small data: what they write, that nothing runs twice, what they refuse."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from milk_np.cli import reproduce, train, tune
from milk_np.cli.experiment_options import QUICK as DEFAULTS
from milk_np.cli.experiment_options import SHARED
from milk_np.cli.settings import read_settings
from milk_np.data import make_synthetic
from milk_np.models import registry
from milk_np.models.registry import model_class

QUICK = ["--dim", "4", "--batch-size", "128", "--epochs", "4", "--eval-every", "2", "--jobs", "1", "--trials", "2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return make_synthetic(150, 200, 2500, {"image": 8, "text": 6, "audio": 5}).save(folder / "small.npz")


def run(command, *parts: object) -> int:  # type: ignore[no-untyped-def]
    return int(command.main([str(part) for part in parts]))


FEW = ("--systems", "milk,duif,svd-ridge")
"""Of the experiments with all models: each is fitted by its own tests, and all are rows (test_catalogue)."""


@pytest.mark.parametrize("name", ["fig1", "table2", "fig3", "table3", "table4", "fig4", "fig5", "fig6"])
def test_every_experiment_writes_its_tables_and_never_runs_twice(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    few = FEW if name in ("fig1", "table2", "fig3") else ()
    line = (name, "--data", data, "--out", tmp_path, "--repeats", 2, *QUICK, *few)
    assert run(reproduce, *line) == 0
    first = capsys.readouterr().out
    assert "runs to do" in first
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") >= 1
    assert list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert "| variant |" in (tmp_path / "results.md").read_text()
    assert "\\begin{tabular}" in (tmp_path / "results.tex").read_text()
    found = json.loads((tmp_path / "results.json").read_text())
    assert [table["experiment"] for table in found["tables"]] == [name]
    assert json.loads((tmp_path / "tuning.json").read_text())["searches"][0]["trials"]
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert run(reproduce, *line) == 0
    assert "runs to do" not in capsys.readouterr().out
    assert made == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}


def test_more_repeats_keep_the_runs_there_are(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ("fig4", "--data", data, "--out", tmp_path, *QUICK)
    assert run(reproduce, *line, "--repeats", 1) == 0
    before = {path.name for path in (tmp_path / "runs").iterdir()}
    capsys.readouterr()
    assert run(reproduce, *line, "--repeats", 2) == 0
    assert re.search(r"fig4: 10 runs to do", capsys.readouterr().out)  # five variants, two protocols, one repeat
    assert before < {path.name for path in (tmp_path / "runs").iterdir()}


def test_some_systems_by_halving(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ("table2", "--data", data, "--out", tmp_path, "--repeats", 1, *QUICK)
    more = ("--systems", "milk,svd-ridge", "--protocols", "ftmt", "--search", "halving")
    assert run(reproduce, *line, *more) == 0
    table = json.loads((tmp_path / "results.json").read_text())["tables"][0]
    assert {cost["protocol"] for cost in table["costs"]} == {"FTMT"}
    labels = {"random order", "MILK", "MILK, printed weights", "SVD + ridge"}
    assert {cost["variant"] for cost in table["costs"]} == labels
    assert all(cost["core_seconds"] >= 0 for cost in table["costs"])
    searches = {
        search["family"]: search["trials"] for search in json.loads((tmp_path / "tuning.json").read_text())["searches"]
    }
    assert sorted(trial["rungs"] for trial in searches["milk"]) == [1, 1, 2]
    assert "rungs" not in searches["svd-ridge"][0]
    assert "core s" in (tmp_path / "report.html").read_text()
    capsys.readouterr()
    assert run(reproduce, *line, *more) == 0
    assert "runs to do" not in capsys.readouterr().out


def test_two_modalities_leave_figure_3_out_and_say_so(tmp_path: Path) -> None:
    path = make_synthetic(150, 200, 2500, {"image": 8, "text": 6}).save(tmp_path / "two.npz")
    assert run(reproduce, "fig3", "--data", path, "--out", tmp_path / "out", "--repeats", 1, *QUICK) == 0
    assert "Left out: it needs 3 modalities, but this data set has 2." in (tmp_path / "out" / "report.html").read_text()


def test_a_split_that_the_data_brought_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ds = make_synthetic(150, 200, 2500, {"image": 8, "text": 6})
    given = replace(ds, meta={"name": "given", "made": "tables", "n_users": ds.n_users})
    path, out = given.save(tmp_path / "given.npz"), tmp_path / "out"
    line = ("fig1", "--data", path, "--out", out, "--repeats", 2, *QUICK)
    assert run(reproduce, *line) == 0
    assert "given: its own split of new items is kept; --new-items X draws others" in capsys.readouterr().out
    page = (out / "report.html").read_text()
    assert "as the data say, the same in each repeat: given" in page
    summaries = [json.loads(file.read_text()) for file in (out / "runs").glob("*.json")]
    assert {(summary["draw"], summary["new_items"]) for summary in summaries} == {(None, 0.0)}
    assert len({summary["settings"].get("missing_seed", 0) for summary in summaries}) == 2
    assert run(reproduce, *line, "--new-items", 0.3) == 0
    assert "is kept" not in capsys.readouterr().out
    assert "30% of the items, half validation" in (out / "report.html").read_text()


@pytest.mark.parametrize("model", ["milk", "kernel-profile"])
def test_a_signal_ends_a_search_of_one_job(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    begun = []

    def interrupted(self, *args, **options):  # type: ignore[no-untyped-def]
        begun.append(self)
        os.kill(os.getpid(), signal.SIGTERM)
        return fit(self, *args, **options)

    cls = model_class(model)
    fit = cls.fit
    monkeypatch.setattr(cls, "fit", interrupted)
    options = QUICK if model == "milk" else QUICK[-4:]
    assert run(tune, "--data", data, "--models", model, "--out", tmp_path, *options) == 130
    assert len(begun) == 1
    assert "the same command continues" in capsys.readouterr().err


def test_an_interruption_keeps_what_is_finished(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from milk_np.experiments import pool

    whole, calls = pool.execute, []

    def stops(one, beside):  # type: ignore[no-untyped-def]
        calls.append(one)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(one, beside)

    monkeypatch.setattr(pool, "execute", stops)
    line = ("fig1", "--data", data, "--out", tmp_path, "--repeats", 1, *QUICK, *FEW)
    assert run(reproduce, *line) == 130
    assert "finished runs are kept, the same command continues" in capsys.readouterr().err
    assert len(list((tmp_path / "runs").glob("*.json"))) == 3
    monkeypatch.setattr(pool, "execute", whole)
    assert run(reproduce, *line) == 0


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("fig9",), r"expected one of fig1, .*, all; got 'fig9'"),
        (("table2", "--systems", "clcrecs"), r"--systems: got 'clcrecs', expected one of random, "),
        (("fig4", "--systems", "ridge"), r"--systems: got ridge, but the rows of fig4 are of random, milk"),
        (("fig1", "--protocols", "FTM"), r"--protocols: got 'FTM', expected one of FTFT"),
        (("fig1", "--repeats", "0"), r"--repeats: expected a whole number of at least 1, got '0'"),
        (("fig1", "--new-items", "1.5"), r"--new-items: expected a share between 0 and 1, got '1.5'"),
        (("fig1", "--jobs", "-1"), r"--jobs"),
    ],
)
def test_what_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: tuple[str, ...], message: str
) -> None:
    try:
        code: object = run(reproduce, *parts, "--data", data, "--out", tmp_path)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert re.search(message, capsys.readouterr().err)


def test_two_data_sets_of_one_name_are_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(reproduce, "fig1", "--data", data, "--data", data, "--out", tmp_path) == 3
    assert "two data sets are named 'synthetic'" in capsys.readouterr().err


def test_tuned_settings_go_into_a_file_that_training_reads(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ("milk", "duif")
    line = ("--data", data, "--protocol", "FTMT", "--models", ",".join(models), "--out", tmp_path / "tuned", *QUICK)
    assert run(tune, *line) == 0
    shown = capsys.readouterr().out
    for name in models:
        assert f"written to {tmp_path / 'tuned' / name}.toml" in shown
    found = json.loads((tmp_path / "tuned" / "tuning.json").read_text())["searches"]
    assert [len(search["trials"]) for search in found] == [3, 3]
    config = tmp_path / "tuned" / "duif.toml"
    assert run(train, "--data", data, "--config", config, "--quiet", "--out", tmp_path / "run") == 0
    assert (tmp_path / "run" / "report.html").exists()


def test_the_help_shows_the_defaults_that_apply() -> None:
    line = ["--data", "a.npz", "--out", "b"]
    tuned = tune._parser()
    reproduced = reproduce._parser()
    bases = {
        tuned: tune._base(tuned.parse_args(line), "milk"),
        reproduced: read_settings(reproduced.parse_args(["fig1", *line]), DEFAULTS, "milk"),
    }
    for parser, base in bases.items():
        shown = {action.dest: str(action.help) for action in parser._actions}
        for name in SHARED:
            assert f"(default: {getattr(base, name)})" in shown[name]
        assert "(default: 100)" in shown["max_epochs"]


@pytest.mark.parametrize(
    ("model", "message"),
    [("profile", "has nothing to tune"), ("mylk", f"expected {', '.join(registry.trained())}, got 'mylk'")],
)
def test_what_cannot_be_tuned(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, message: str
) -> None:
    assert run(tune, "--data", data, "--models", model, "--out", tmp_path) == 2
    assert message in capsys.readouterr().err


def test_only_what_is_taken_is_offered(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for parser in (tune._parser(), reproduce._parser()):
        shown = parser.format_help()
        assert "--preset paper|reference " in shown
        assert "best: a different model" not in shown
    assert "built-in" not in tune._parser().format_help()
    for command, more in ((tune, ()), (reproduce, ("fig1",))):
        with pytest.raises(SystemExit) as stop:
            run(command, *more, "--data", data, "--out", tmp_path, "--preset", "best")
        assert stop.value.code == 2
        assert "expected one of paper, reference" in capsys.readouterr().err


OF_PAPER = [name for name in registry.trained() if "paper" in registry.settings_class(name).presets]


@pytest.mark.parametrize(
    ("models", "option", "message"),
    [
        ("kernel-profile", ("--dim", "3"), f"dim (--dim): a setting of {', '.join(registry.owners('dim'))};"),
        ("duif,kernel-profile", ("--without", "cmam"), "without (--without): a setting of milk;"),
        ("kernel-profile", ("--preset", "paper"), f"preset (--preset): the preset paper is of {', '.join(OF_PAPER)};"),
    ],
)
def test_an_option_of_no_chosen_model_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], models: str, option: tuple[str, ...], message: str
) -> None:
    assert run(tune, "--data", data, "--models", models, "--out", tmp_path / "out", *option) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_option_is_for_the_chosen_models_that_have_it() -> None:
    given = tune._parser().parse_args(["--data", "a", "--out", "b", "--dim", "3", "--preset", "reference"])
    assert (tune._base(given, "milk").dim, tune._base(given, "milk").preset) == (3, "reference")
    assert tune._base(given, "kernel-profile").preset == "best"


def test_optuna_searches_the_same_space(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed (extra tune)")
    assert run(tune, "--data", data, "--protocol", "FTMT", "--search", "optuna", "--out", tmp_path, *QUICK) == 0
    assert len(json.loads((tmp_path / "tuning.json").read_text())["searches"][0]["trials"]) == 3


def test_optuna_missing_is_said(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    assert run(tune, "--data", data, "--search", "optuna", "--out", tmp_path, *QUICK) == 2
    assert "install milk-np[tune], or use --search grid" in capsys.readouterr().err
