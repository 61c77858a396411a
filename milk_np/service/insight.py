"""Why an item stands where it stands: what of a history speaks for it, and its place without a modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from milk_np.data.rows import unit_rows
from milk_np.service.core import Ids, RefusedError, Rows, Service, encode
from milk_np.serving.stock import Vectors

MOST_ITEMS = 200
"""Items of a history that are looked at, the last ones."""


@dataclass(frozen=True)
class Reason:
    """An item of a history, and how much of the score is due to it, or how similar it is."""

    item: str
    weight: float


@dataclass(frozen=True)
class Place:
    """Place of an item, from 1, and its score: with all its modalities, and without some."""

    place: int
    score: float
    place_without: int
    score_without: float
    candidates: int


def history_of(service: Service, user: str) -> list[str]:
    """Ids of the items with which a user has a training pair."""
    if not service.knows_user(user):
        raise RefusedError("user", service.model.catalogue.users.unknown(user))
    return service.all.state.seen(user)


def reasons(service: Service, history: Ids, items: Ids, most: int = 3) -> tuple[str, list[list[Reason]]]:
    """How it was found out, and for each of `items` the items of `history` that speak most for it.

    By "what the score loses without it" where the model describes users by their items, else by "similarity": the
    cosine of the items' vectors.
    """
    stock, known = service.all.state.stock, service.model.catalogue.items
    own = [name for name in history if known.find([name])[0] >= 0][-MOST_ITEMS:]
    if not own or not items:
        return "nothing to compare", [[] for _ in items]
    targets = stock.vectors(stock.places(items))
    if service.model.serves_histories:
        how, weights = "what the score loses without it", _losses(service, own) @ targets.T
    else:
        vectors = service.model.item_factors(known.numbers(own))
        how, weights = "similarity", unit_rows(vectors) @ unit_rows(targets).T
    best = np.argsort(-weights, axis=0, kind="stable")[:most]
    return how, [[Reason(own[h], float(weights[h, n])) for h in best[:, n]] for n in range(len(items))]


def _losses(service: Service, own: Sequence[str]) -> Vectors:
    """What each item adds to the user's vector (n, K): theirs less the one without it."""
    numbers = service.model.catalogue.items.numbers(own)
    histories = [numbers, *(np.delete(numbers, n) for n in range(len(own)))]
    vectors = service.model.encode_users(histories)
    losses: Vectors = vectors[0] - vectors[1:]
    return losses


def place_without(service: Service, vector: Vectors, item: str, without: Ids, seen: Ids, candidates: str) -> Place:
    """Where `item` stands for the user `vector` (K), and where it would without some of its modalities."""
    index = service.new if candidates == "new" and item in service.new else service.all
    stock = index.state.stock
    if item not in stock:
        raise RefusedError("item", service.model.catalogue.items.unknown(item))
    changed = encode(service.model, {item: features_of(service, item)}, without)
    others = stock.places([name for name in stock.names if name == item or name not in set(seen)])
    scores = stock.vectors(others) @ vector
    mine = float(scores[others == stock.slots[item]][0])
    other = float(changed[0] @ vector)
    rest = scores[others != stock.slots[item]]
    return Place(1 + int((rest > mine).sum()), mine, 1 + int((rest > other).sum()), other, len(others))


def owned_by(service: Service, item: str) -> list[str]:
    """Names of the modalities that an item has; empty where its features aren't at hand."""
    try:
        return [name for name, row in features_of(service, item).items() if row is not None]
    except RefusedError:
        return []


def features_of(service: Service, item: str) -> Rows:
    """Feature rows of an item: as it was added, or from the data set."""
    if item in service.added:
        return service.added[item]
    number = _row_of(service, item)
    if service.data is None or number < 0:
        what = f"the features of item {item!r} are not at hand; start the service with --data"
        raise RefusedError("item", what)
    owned = dict(zip(service.data.modalities, service.data.available[number].tolist(), strict=True))
    return {
        name: np.asarray(service.data.features[name][number], np.float32).tolist() if has else None
        for name, has in owned.items()
    }


def _row_of(service: Service, item: str) -> int:
    if service.data is None:
        return -1
    return int(service.items_of_data.find([item])[0])
