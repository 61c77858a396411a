"""The job of milk-train: describe, train every seed, evaluate, show and save."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from milk_np.backends.select import gpu_problem
from milk_np.cli.tables import compare_table, over_seeds, seeds_table
from milk_np.errors import SettingsError
from milk_np.machine import memory
from milk_np.machine.environment import kernels_compiled
from milk_np.models.registry import CLOSED_FORM, TRAINED, make_model, model_class
from milk_np.reports.run import write_run_report
from milk_np.settings.shared import Settings
from milk_np.training.progress import Callback, ProgressLines, both, show_progress
from milk_np.training.run_folder import RunFolder

if TYPE_CHECKING:
    from milk_np.data import Dataset
    from milk_np.evaluation.evaluate import Evaluation
    from milk_np.models.base import Recommender, Trainable
    from milk_np.training.loop import History


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
    preamble: str = ""

    def say(self, text: str, run: RunFolder | None = None) -> None:
        """Print, unless the user wants quiet, and keep it in the run's log."""
        if not self.quiet:
            print(text, flush=True)
        if run is not None:
            run.log(text)

    def describe(self) -> None:
        """Show the data, what will run and the memory it needs; refuse what can't run."""
        settings = self.settings.resolve()
        _refuse_untrained(settings)
        need, available = _need(settings, self.ds), memory.available_bytes()
        what = _what_runs(settings, _training_pairs(self.ds))
        text = f"{what}\ndevice   {_device(settings)}\nmemory   {memory.need_text(need, available)}\n"
        self.preamble = f"{self.ds.statistics()}\n\n{text}"
        self.say(self.preamble)
        _refuse_what_cannot_run(settings, self.ds)
        memory.refuse_if_too_large(need, available)

    def train_all(self) -> None:
        """Train every seed; several in folders of their own, with a summary over them."""
        seeds = self.settings.seed_list
        if len(seeds) == 1:
            self.train_one(self._open(self.out, self.settings), self.settings.replace(seed=seeds[0], seeds=1))
            return
        root, summaries = self._open(self.out, self.settings), []
        for seed in seeds:
            one = self.settings.replace(seed=seed, seeds=1)
            self.say(f"seed {seed}")
            summaries.append(self.train_one(self._open(self.out / f"seed-{seed}", one), one))
        self._summarise(root, seeds, summaries)

    def train_one(self, run: RunFolder, settings: Settings) -> dict[str, Any]:
        """Train one seed, unless its folder holds a finished run; evaluate and save. Returns the summary."""
        finished = run.summary() if self.resume else None
        closed = settings.model in CLOSED_FORM
        if finished and finished["epochs"] >= (1 if closed else settings.epochs):
            self.say(f"{run.path} is finished already" + ("" if closed else "; a larger --epochs would train on"))
            return finished
        if not kernels_compiled():
            self.say("compiling the kernels, which this installation does once (some fifteen seconds)\n")
        callback = self._callback(settings, run)
        model, history = fit(self.ds, settings.resolve(), run, callback, resume=self.resume)
        start = time.perf_counter()
        tests, summary = _evaluated(model, self.ds, settings)
        seconds = {"loading": self.load_seconds, **history.seconds, "testing": time.perf_counter() - start}
        summary |= {"epochs": history.epochs, "best_epoch": history.best_epoch, "seconds": seconds}
        tests[settings.model].save_per_user(run.file("per_user.npz"))
        run.write_summary(self._identity(settings) | summary)
        write_run_report(run)
        self._show(run, settings, tests)
        return summary

    def _open(self, path: Path, settings: Settings) -> RunFolder:
        """A seed's folder: continued when resuming and there is one, else new."""
        data_hash = self.ds.content_hash
        if self.resume and RunFolder(path).exists:
            run = RunFolder.reopen(path, data_hash=data_hash)
            run.write_settings(settings)
            return run
        run = RunFolder.create(path, settings, data_hash=data_hash, command=["milk-train", *self.line])
        run.log(self.preamble)
        return run

    def _callback(self, settings: Settings, run: RunFolder) -> Callback:
        shown = None if self.quiet else show_progress(settings.valid_metric)
        return both(shown, ProgressLines(run.log, settings.valid_metric))

    def _identity(self, settings: Settings) -> dict[str, Any]:
        data = {"data": self.ds.name, "data_hash": self.ds.content_hash}
        return {"model": settings.model, "preset": settings.preset, "seed": settings.seed, **data}

    def _show(self, run: RunFolder, settings: Settings, tests: dict[str, Evaluation]) -> None:
        k = max(settings.topk)
        self.say(f"\n{tests[settings.model].table()}\n", run)
        self.say("beside models that need no training (test)", run)
        self.say(compare_table(tests, (f"ndcg@{k}", f"recall@{k}")), run)
        self.say(f"\nsaved in {run.path}", run)

    def _summarise(self, root: RunFolder, seeds: Sequence[int], summaries: Sequence[dict[str, Any]]) -> None:
        """Mean and sample deviation over the seeds, shown and saved."""
        splits = {split: over_seeds([each[split] for each in summaries]) for split in ("valid", "test")}
        epochs = {name: [each[name] for each in summaries] for name in ("epochs", "best_epoch")}
        root.write_summary(self._identity(self.settings) | {"seeds": list(seeds), **epochs, **splits})
        names = [f"{name}@{k}" for k in self.settings.topk for name in ("recall", "ndcg")]
        self.say(f"\nmean ± sample deviation over {len(seeds)} seeds", root)
        self.say(seeds_table(splits, names), root)
        self.say(f"\nsaved in {root.path}", root)


def fit(
    ds: Dataset, settings: Settings, run: RunFolder, callback: Callback, *, resume: bool
) -> tuple[Trainable, History]:
    """Train the model that the settings name; its checkpoints go to `run`."""
    from milk_np.training.loop import train

    # The command has settled the threads; model.npz doesn't tell them.
    model = cast("Trainable", make_model(settings.without_machine()))
    return model, train(model, ds, settings, callback=callback, run=run, resume=resume)


def _evaluated(trained: Recommender, ds: Dataset, settings: Settings) -> tuple[dict[str, Evaluation], dict[str, Any]]:
    """Test evaluations of the model and of those without training, and the part of the summary they make."""
    from milk_np.evaluation.evaluate import evaluate
    from milk_np.models.baselines.content_profile import ContentProfile
    from milk_np.models.baselines.random_order import RandomOrder

    def score(model: Recommender, split: int) -> Evaluation:
        return evaluate(model, ds, split, topk=settings.cutoffs, candidates=settings.candidates)

    others = {"profile": ContentProfile(settings.impute), "random": RandomOrder(settings.seed)}
    tests = {settings.model: score(trained, 2)}
    for name, other in others.items():
        if name != settings.model:
            tests[name] = score(other.fit(ds), 2)
    beside = {name: test.to_dict() for name, test in tests.items() if name != settings.model}
    valid = score(trained, 1).to_dict()
    return tests, {"valid": valid, "test": tests[settings.model].to_dict(), "beside": beside}


def _what_runs(settings: Settings, pairs: int) -> str:
    """The preset and the settings that matter most, in a few lines; `pairs` are there to train on."""
    rates = f"train {settings.missing_train:g}, new {settings.missing_mix or settings.missing_test}"
    mask = "as stored in the data" if settings.protocol is None else f"{settings.protocol} ({rates})"
    lines = {
        "model": settings.model + (_objective(settings) if settings.model == "milk" else ""),
        "missing": f"{mask}, filled by {settings.impute}",
        "training": f"dim {settings.dim}, lr {settings.lr:g}, batches of {min(settings.batch_size, pairs)}, "
        f"at most {settings.epochs} epochs, seed {', '.join(map(str, settings.seed_list))}",
    }
    if settings.model in CLOSED_FORM:
        lines["missing"] = f"{mask}, a regression for each set of owned modalities"
        lines["training"] = f"in closed form, width {settings.profile_width}, {settings.landmarks} landmarks"
    return "\n".join(f"{name:<8} {text}" for name, text in lines.items())


def _device(settings: Settings) -> str:
    """What is computed on, and why the CPU if the choice was left open."""
    device, problem = settings.training_device, None
    if device == "auto":
        problem = gpu_problem()
        device = "cpu" if problem else "gpu"
    if device == "gpu" and settings.model in CLOSED_FORM:
        return "cpu, ranking on the gpu"
    return f"{device} ({problem})" if problem else device


def _training_pairs(ds: Dataset) -> int:
    return int((ds.split == 0).sum())


def _objective(settings: Settings) -> str:
    """What the preset decides, and the weights of the objective of MILK."""
    items = "training items" if settings.negatives == "train" else "all items"
    weights = f"{settings.users} users, invariance {settings.invariance_weight:g}, alignment {settings.align_weight:g}"
    without = "".join(f", without {name}" for name in settings.without)
    return (
        f", preset {settings.preset}: {settings.risk} of the environments' risks, negatives from {items}\n"
        f"weights  {weights}, regulariser {settings.reg:g}{without}"
    )


def _refuse_untrained(settings: Settings) -> None:
    if settings.model not in TRAINED:
        raise SettingsError(
            f"model (--model): {settings.model} needs no training, expected one of {', '.join(TRAINED)}; "
            f"score it with milk-evaluate --model {settings.model}"
        )


def _refuse_what_cannot_run(settings: Settings, ds: Dataset) -> None:
    """Say before training, not after, that a list is longer than the new items."""
    counts = [len(ds.new_items(split)) for split in (1, 2)]
    candidates = sum(counts) if settings.candidates == "all" else min(counts)
    if settings.cutoffs[-1] > candidates:
        raise SettingsError(
            f"topk (--topk, --valid-metric): got {settings.cutoffs[-1]}, expected at most {candidates}, the "
            "number of new items that are ranked"
        )


def _need(settings: Settings, ds: Dataset) -> dict[str, int]:
    trained = cast("type[Trainable]", model_class(settings.model))
    return trained.training_bytes(
        settings,
        n_users=ds.n_users,
        n_items=ds.n_items,
        n_new_items=len(ds.new_items()),
        n_train_pairs=_training_pairs(ds),
        widths=[ds.features[name].shape[1] for name in ds.modalities],
    )
