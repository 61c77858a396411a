"""What the field would ask first: a system is far above chance on new items, half of which miss a modality.

On real data it is also as good as another program of the same system was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import Case, cases
from numpy.typing import NDArray

from milk_np.data import Dataset, apply_protocol, from_folder, make_synthetic
from milk_np.evaluation.evaluate import evaluate
from milk_np.experiments.runs import Run, base, execute
from milk_np.models.baselines.random_order import RandomOrder
from milk_np.models.registry import make_settings, model_class

ERRORS = 5.0
CASES = [case for case in cases() if case.accurate]


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return apply_protocol(make_synthetic(400, 400, 12000, {"image": 24, "text": 16}, new_items=0.3, seed=4), "FTMT")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_is_above_chance_by_five_standard_errors(case: Case, ds: Dataset) -> None:
    model = model_class(case.name)(**{**case.options, **case.accurate})  # type: ignore[call-arg]
    found, chance = (evaluate(each.fit(ds), ds).per_user["ndcg@20"] for each in (model, RandomOrder()))
    assert is_above(found, chance)


def is_above(found: NDArray[Any], chance: NDArray[Any]) -> bool:
    """Whether users' values are higher by so many standard errors."""
    gain = found - chance
    return bool(gain.mean() > ERRORS * gain.std(ddof=1) / np.sqrt(len(gain)))


@dataclass(frozen=True)
class Level:
    """NDCG@20 on Last.fm 2K, FTMT: a figure, its deviation over draws 21 to 23, settings with which a fit is short, and
    the draws to try."""

    figure: float
    deviation: float
    settings: dict[str, Any]
    draws: tuple[int, ...] = (22,)


LEVELS = {
    "ccfcrec": Level(0.2577, 0.0355, {"lr": 0.003, "max_epochs": 15, "eval_every": 3}, draws=(21, 22, 23)),
    "clcrec": Level(
        0.2858, 0.0209, {"content": "centred", "mutual": 0.1, "temperature": 1.0, "lr": 0.003, "max_epochs": 5}
    ),
    "dropoutnet": Level(0.2999, 0.0158, {}),
    "gar": Level(0.2417, 0.0182, {"alpha": 0.05, "beta": 0.9, "max_epochs": 18, "eval_every": 3}),
    "gorec": Level(0.3005, 0.0332, {"uniformity": 1.0, "eval_every": 2, "patience": 4}),
    "heater": Level(0.3224, 0.0265, {"max_epochs": 4}),
    "micro": Level(0.2597, 0.0056, {"lr": 0.003, "neighbours": 50, "content": "centred", "contrast": 0.0}),
    "mtpr": Level(0.2598, 0.0164, {}),
}
"""Figures of CCFCRec, CLCRec, GAR, GoRec and Heater are another program's mean over draws 21 to 23; the others, and the
deviations, are this project's, on draw 22. CCFCRec is tried on all three: its worst, 22, is a deviation below its mean.
The lab notebook has all draws."""


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for pretrained tables that several systems start from."""
    return tmp_path_factory.mktemp("beside")


@pytest.mark.real
@pytest.mark.parametrize("name", LEVELS)
def test_known_levels_on_real_data(real_data: Path, beside: Path, name: str) -> None:
    """Mostly on one draw, where half a minute is the most: all three, trained to the end, take ten minutes."""
    path, level = beside / "lfm2k.npz", LEVELS[name]
    if not path.exists():
        from_folder(real_data / "lfm2k").save(path)
    means = []
    for draw in level.draws:
        seeds = {"protocol": "FTMT", "seed": draw, "missing_seed": draw}
        made = (make_settings({"model": name, **seeds, **level.settings}), make_settings({"model": "random", **seeds}))
        found, chance = (
            execute(Run(path, base(path).content_hash, 0.2, draw, each), beside).per_user["ndcg@20"] for each in made
        )
        assert is_above(found, chance)
        means.append(found.mean())
    assert np.mean(means) > level.figure - level.deviation
