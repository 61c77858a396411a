"""Models go to other processes: pickled, copied, and served by spawned and forked workers."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest
from identity_cases import Shop
from test_on_data import MODELS

from milk_np.data import Dataset
from milk_np.models.stored import StoredModel


@pytest.fixture(scope="module")
def ds() -> Dataset:
    shop = Shop(seed=3)
    return shop.data(shop.users[:60], shop.items[:60])


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest, ds: Dataset) -> StoredModel:
    return MODELS[request.param]().fit(ds, final=True)


def lists(model: StoredModel) -> Any:
    return model.recommend(k=3, candidates="all").found


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])  # noqa: S301
def test_a_copy_gives_the_same_lists(model: StoredModel, how: Any) -> None:
    np.testing.assert_array_equal(lists(how(model)), lists(model))


def test_a_spawned_process_gives_the_same_lists(model: StoredModel) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(lists, model).result(timeout=300), lists(model))
