"""The job of milk-train: describe, train every seed, evaluate, show and save."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from milk_np.backends.select import gpu_problem
from milk_np.cli.tables import compare_table, over_seeds, seeds_table
from milk_np.data.arrays import Split
from milk_np.errors import DataError, SettingsError
from milk_np.kernels.cpu.ahead import SECONDS, first_use
from milk_np.machine import memory
from milk_np.models import registry
from milk_np.models.base import data_sizes
from milk_np.models.registry import make_model
from milk_np.ranks.group import ALONE, Ranks
from milk_np.reports.run import REPORT, write_run_report
from milk_np.reports.verdict import is_ahead, verdict
from milk_np.settings.shared import Settings
from milk_np.settings.steps import StepSettings
from milk_np.training.progress import Callback, ProgressLines, both, show_progress
from milk_np.training.run_folder import SUMMARY, OthersRun, RunFolder

if TYPE_CHECKING:
    from milk_np.data import Dataset
    from milk_np.data.share import Share
    from milk_np.evaluation.result import Evaluation
    from milk_np.models.base import Recommender
    from milk_np.models.stored import StoredModel


BESIDE = ("profile", "random")
"""Models without training that a trained one is compared with."""


@dataclass
class Job:
    """One call of the command: the runs of all its seeds."""

    ds: Dataset
    settings: Settings
    out: Path
    resume: bool
    quiet: bool
    line: list[str]
    load_seconds: float
    final: bool = False
    preamble: str = ""
    share: Share | None = None
    ranks: Ranks = ALONE

    @property
    def whole(self) -> Dataset:
        """The data set of all users on rank 0, elsewhere that of this rank's."""
        return self.ds if self.share is None or self.share.whole is None else self.share.whole

    def say(self, text: str, run: RunFolder | None = None) -> None:
        """Print unless --quiet, and add to the run's log; only on rank 0."""
        if not self.quiet and self.ranks.first:
            print(text, flush=True)
        if run is not None:
            run.log(text)

    def describe(self) -> None:
        """Show the data, what will run and the memory it needs; raise an error if it can't run."""
        settings = self.settings.resolve()
        model, sizes, available = registry.model_class(settings.model), data_sizes(self.ds), memory.available_bytes()
        need = model.memory_need(settings, **sizes)
        pairs = sizes["n_train_pairs"] if self.share is None else sum(self.ranks.all_values(sizes["n_train_pairs"]))
        theirs = "part of the sums" if self.share is None else "users"
        together = "" if self.ranks.size == 1 else f"ranks    {self.ranks.size}, each with its own {theirs}\n"
        text = f"{_what_runs(settings, pairs)}\ndevice   {_device(settings)}\n{together}"
        text += f"memory   {memory.need_text(need, available)}\n"
        if self.ranks.first:
            self.preamble = f"{self._statistics()}\n\n{text}"
        self.say(self.preamble)
        if not self.final:
            held_out = [(self.ds.split == split).any() for split in (Split.VALIDATION, Split.TEST)]
            some = np.any(self.ranks.all_values(held_out), axis=0)
            _refuse_what_cannot_run(settings, self.ds, bool(some.all()))
        memory.refuse_if_too_large(need, available, model.memory_advice)
        self._model(settings.without_machine()).check(self.ds)

    def _statistics(self) -> str:
        """Rank 0's table of the data; of data in shards that of its own, which are said to be some of all."""
        share = self.share
        if share is None or not share.shards or self.ranks.size == 1:
            return self.whole.statistics()
        few = ", ".join(map(str, share.shards[:8])) + (", ..." if len(share.shards) > 8 else "")
        return f"{share.n_users:,} users in shards, of which rank 0 has {few}:\n\n{self.ds.statistics()}"

    def _model(self, settings: Settings) -> Recommender:
        """A new model; SettingsError if it can't be trained by several ranks and has to be."""
        model = make_model(settings)
        model.ranks = self.ranks
        if self.share is not None:
            cast("StoredModel", model).share = self.share
        return model

    def train_all(self) -> None:
        """Train every seed; several seeds get a folder each, and a summary over them."""
        seeds = self.settings.seed_list
        if len(seeds) == 1:
            self.train_one(self._open(self.out, self.settings), self.settings.replace(seed=seeds[0], seeds=1))
            return
        root, summaries = self._open(self.out, self.settings), []
        for seed in seeds:
            one = self.settings.replace(seed=seed, seeds=1)
            self.say(f"seed {seed}")
            summaries.append(self.train_one(self._open(self.out / f"seed-{seed}", one), one))
        if self.ranks.first:
            self._summarise(root, seeds, summaries)

    def train_one(self, run: RunFolder, settings: Settings) -> dict[str, Any]:
        """Train one seed unless its folder holds a finished run; evaluate and save. Returns the summary."""
        finished = run.summary() if self.resume else None
        if finished and not _more_epochs(finished, settings):
            if self.ranks.first and not run.file(REPORT).exists():  # it was killed before its report
                write_run_report(run)
            more = "; raise --max-epochs to continue" if isinstance(settings, StepSettings) else ""
            self.say(f"{run.path} is already finished{more}")
            return finished
        if settings.device == "cpu" and (absent := first_use(settings.compiles)):
            most = SECONDS[settings.compiles]
            self.say(f"compiling {absent} kernels, once per installation: up to {most} seconds on two cores\n")
        # The command has set the threads already; model.npz doesn't store their number.
        start, model = time.perf_counter(), self._model(settings.resolve().without_machine())
        callback = self._callback(settings, run)
        cast("StoredModel", model).fit(self.ds, callback=callback, run=run, resume=self.resume, final=self.final)
        history, fitted = cast("StoredModel", model).history, time.perf_counter()
        width = cast("StoredModel", model).width
        self.say(f"vectors  {width} numbers each", run)
        tests, summary = ({}, {"final": True}) if self.final else self._results(model, settings)
        spent = {"training": fitted - start} if history is None else history.seconds
        seconds = {"loading": self.load_seconds, **spent, "testing": time.perf_counter() - fitted}
        summary |= {"seconds": seconds} if history is None else {**history.summary(), "seconds": seconds}
        summary = self._identity(settings) | {"width": width} | summary
        if self.ranks.first:
            if tests:
                tests[settings.model].save_per_user(run.file("per_user.npz"))
            run.write_summary(summary)
            write_run_report(run)
            self._show(run, settings, tests, summary)
        return summary

    def _results(self, model: Recommender, settings: Settings) -> tuple[dict[str, Evaluation], dict[str, Any]]:
        """See `_evaluated`: by all ranks, or where all have the same data by rank 0."""
        if self.share is not None:
            return self._evaluated(model, settings)
        return self.ranks.kept_by_first(lambda: self._evaluated(model, settings)) or ({}, {"test": {}, "valid": {}})

    def _evaluated(self, trained: Recommender, settings: Settings) -> tuple[dict[str, Evaluation], dict[str, Any]]:
        """Test evaluations of the model and of those without training, and their part of the summary."""
        from milk_np.evaluation.examples import example_lists

        tests = {settings.model: _score(trained, self.ds, Split.TEST, settings, self.share)}
        valid = _score(trained, self.ds, Split.VALIDATION, settings, self.share).to_dict()
        examples = example_lists(trained, self.ds, self.share)
        if self.share is not None and self.share.shards:
            beside = _beside(self.ds, settings, self.share)
        elif self.share is not None:
            beside = self.ranks.kept_by_first(lambda: _beside(self.whole, settings)) or {}
        else:
            beside = _beside(self.ds, settings)
        shown = {"statistics": self._statistics() if self.ranks.first else "", "examples": examples}
        told = {name: test.to_dict() for name, test in beside.items()}
        return tests | beside, {"valid": valid, "test": tests[settings.model].to_dict(), "beside": told, **shown}

    def _open(self, path: Path, settings: Settings) -> RunFolder:
        """A seed's folder: continued when resuming and there is one, else new."""
        return self.ranks.kept_by_first(lambda: self._opened(path, settings)) or OthersRun(path)

    def _opened(self, path: Path, settings: Settings) -> RunFolder:
        data_hash = self.ds.content_hash
        if self.resume and RunFolder(path).exists:
            run = RunFolder.reopen(path, data_hash=data_hash)
            run.write_settings(settings)
            return run
        run = RunFolder.create(
            path, settings, data_hash=data_hash, command=["milk-train", *self.line], final=self.final
        )
        run.log(self.preamble)
        return run

    def _callback(self, settings: Settings, run: RunFolder) -> Callback:
        shown = None if self.quiet or not self.ranks.first else show_progress(settings.valid_metric)
        return both(shown, ProgressLines(run.log, settings.valid_metric))

    def _identity(self, settings: Settings) -> dict[str, Any]:
        data = {"data": self.ds.name, "data_hash": self.ds.content_hash}
        return {"model": settings.model, "preset": settings.preset, "seed": settings.seed, **data}

    def _show(self, run: RunFolder, settings: Settings, tests: dict[str, Evaluation], summary: dict[str, Any]) -> None:
        if self.final:
            self.say(f"\nfinal model: {final_text(self.ds)}\n\nsaved in {run.path}", run)
            return
        k = max(settings.topk)
        self.say(f"\n{tests[settings.model].table()}\n", run)
        self.say("compared with models that need no training (test)", run)
        self.say(compare_table(tests, (f"ndcg@{k}", f"recall@{k}")), run)
        if not is_ahead(summary):
            self.say(f"\n{textwrap.fill(verdict(summary), 100)}", run)
        self.say(f"\nsaved in {run.path}", run)

    def _summarise(self, root: RunFolder, seeds: Sequence[int], summaries: Sequence[dict[str, Any]]) -> None:
        """Show and save mean and sample standard deviation over the seeds."""
        splits = {split: over_seeds([each[split] for each in summaries]) for split in ("valid", "test")}
        names = [name for name in ("epochs", "best_epoch") if name in summaries[0]]
        epochs: dict[str, Any] = {name: [each[name] for each in summaries] for name in names}
        root.write_summary(self._identity(self.settings) | {"seeds": list(seeds), **epochs, **splits})
        metrics = [f"{name}@{k}" for k in self.settings.topk for name in ("recall", "ndcg")]
        self.say(f"\nmean ± sample standard deviation over {len(seeds)} seeds", root)
        self.say(seeds_table(splits, metrics), root)
        self.say(f"\nsaved in {root.path}", root)


def final_text(ds: Dataset) -> str:
    """What a final model was trained on."""
    return (
        f"trained on all {len(ds.train_items):,} items that have pairs; nothing was held out, so it has no test figures"
    )


def _more_epochs(finished: dict[str, Any], settings: Settings) -> bool:
    """Whether a finished run would train further."""
    if not isinstance(settings, StepSettings):
        return False
    epochs = finished.get("epochs", 0)
    if type(epochs) is not int:
        raise DataError(f"{SUMMARY}: epochs: expected the whole number of one seed, got {epochs!r}; was it edited?")
    return epochs < settings.max_epochs


def _score(model: Recommender, ds: Dataset, split: Split, settings: Settings, share: Share | None = None) -> Evaluation:
    from milk_np.evaluation.evaluate import evaluate

    return evaluate(model, ds, split, topk=settings.cutoffs, candidates=settings.candidates, share=share)


def _beside(ds: Dataset, settings: Settings, share: Share | None = None) -> dict[str, Evaluation]:
    """Test evaluations of the models without training."""
    models = {name: make_model(registry.adapted(settings, {"model": name})) for name in BESIDE}
    return {name: _score(model.fit(ds), ds, Split.TEST, settings, share) for name, model in models.items()}


def _what_runs(settings: Settings, pairs: int) -> str:
    """The preset and the settings that matter most, in a few lines; `pairs` is the number of training pairs."""
    rates = f"train {settings.missing_train:g}, new {settings.missing_mix or settings.missing_test}"
    mask = "as stored in the data" if settings.protocol is None else f"{settings.protocol} ({rates})"
    described = settings.described()
    lines = {
        "model": described.pop("model"),
        "missing": f"{mask}, {described.pop('filled')}",
        **described,
    }
    if isinstance(settings, StepSettings):
        lines["training"] = (
            f"lr {settings.lr:g}, batches of {min(settings.batch_size, pairs)}, at most {settings.max_epochs} epochs, "
            f"seed {', '.join(map(str, settings.seed_list))}"
        )
    return "\n".join(f"{name:<8} {text}" for name, text in lines.items())


def _device(settings: Settings) -> str:
    """The device, and with --device auto the reason if it is the CPU."""
    device, problem = settings.device, None
    if device == "auto":
        problem = gpu_problem()
        device = "cpu" if problem else "gpu"
    if device != "cpu" and settings.fits_on_host:
        return f"cpu, ranking on the {device}"
    return f"{device} ({problem})" if problem else device


def _refuse_what_cannot_run(settings: Settings, ds: Dataset, held_out: bool) -> None:
    """Raise an error before training, not after, if nothing could be evaluated or a list would be too long.

    `held_out` says whether there are pairs of validation and test items.
    """
    counts = [len(ds.new_items(split)) for split in (Split.VALIDATION, Split.TEST)]
    if not held_out:
        raise DataError(
            f"{ds.name}: expected pairs of validation and test items, to choose and evaluate a model by, got items of "
            f"{counts[0]} and {counts[1]}; train the model to serve with --final, or make new items with milk-prepare "
            "--new-items 0.2"
        )
    candidates = sum(counts) if settings.candidates == "all" else min(counts)
    if settings.cutoffs[-1] > candidates:
        raise SettingsError(
            f"topk (--topk, --valid-metric): got {settings.cutoffs[-1]}, expected at most {candidates}, the "
            "number of new items to rank"
        )
