"""Synthetic data with a known structure: users choose items by latent content, which modalities show with noise.

Each item has a latent content z (L). A modality shows some of the L directions, together with private directions of
larger variance that don't affect users' choices, an offset, noise, and a random length per row. A profile of raw
features is misled by the private directions; a trained extractor learns to ignore them.

Blocks of users and of items are drawn from separate random streams, so that a set can be written to disk without ever
being in memory as a whole (`large.py`) and equals the one made in memory. A seed gives the same bits on any number of
threads (BLAS uses one); on another kind of processor features may be rounded differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.data.split import split_new_items
from milk_np.errors import SettingsError
from milk_np.kernels.blas import one_blas_thread
from milk_np.rng import generator

BUILT_IN_WIDTHS = {"image": 128, "text": 96, "audio": 64}
SCORE_ALL = 4096
"""Up to this many items, every user chooses among all of them; beyond, among a sample drawn by popularity."""
BLOCK_SCORES = 1 << 21
BLOCK_ITEMS = 4096

Float32 = NDArray[np.float32]
Pairs = tuple[NDArray[np.int32], NDArray[np.int32]]


@dataclass(frozen=True)
class Truth:
    """The known structure; strengths are in standard deviations of one latent direction.

    Attributes
    ----------
    content : int
        Latent directions L of an item.
    shown : int
        How many of them a modality shows.
    private, private_strength : int, float
        Directions of a modality that don't affect users' choices.
    noise, offset : float
        White noise, and the common offset of all rows.
    taste, popularity : float
        Weight of content and of popularity in a user's choice, against Gumbel noise.
    """

    content: int = 8
    shown: int = 6
    private: int = 8
    private_strength: float = 2.0
    noise: float = 0.4
    offset: float = 1.0
    taste: float = 2.2
    popularity: float = 0.7


@dataclass(frozen=True)
class Plan:
    """Sizes, structure and seed of a synthetic set; checked on construction."""

    n_users: int = 1500
    n_items: int = 1200
    n_pairs: int = 28_000
    widths: Mapping[str, int] | None = None
    new_items: float = 0.2
    seed: int = 0
    half: bool = False
    truth: Truth = Truth()
    name: str = "synthetic"

    def __post_init__(self) -> None:
        widths = BUILT_IN_WIDTHS if self.widths is None else dict(self.widths)
        object.__setattr__(self, "widths", widths)
        if not widths:
            raise SettingsError("widths: expected at least one modality, got none")
        for name, size in (("users", self.n_users), ("items", self.n_items), *widths.items()):
            if size < 1:
                raise SettingsError(f"{name}: expected a positive number, got {size}")
        least, most = 2 * self.n_users, self.n_users * self.n_items // 4
        if not least <= self.n_pairs <= most:
            raise SettingsError(
                f"pairs: expected from {least} (2 per user) to {most} (a quarter of all), got {self.n_pairs}"
            )

    @property
    def modality_widths(self) -> dict[str, int]:
        """Names and raw widths of the modalities."""
        return dict(self.widths or {})

    @property
    def looked_at(self) -> int:
        """Number of items that each user chooses from."""
        wanted = max(64, 8 * -(-self.n_pairs // self.n_users))
        return self.n_items if self.n_items <= SCORE_ALL else min(self.n_items, wanted)

    def user_blocks(self) -> Iterator[tuple[int, int]]:
        """First user and number of users of each block, of about two million scores each."""
        step = max(1, BLOCK_SCORES // self.looked_at)
        for start in range(0, self.n_users, step):
            yield start, min(step, self.n_users - start)

    def item_blocks(self) -> Iterator[slice]:
        """Blocks of items whose feature rows are drawn together."""
        for start in range(0, self.n_items, BLOCK_ITEMS):
            yield slice(start, min(start + BLOCK_ITEMS, self.n_items))

    def meta(self) -> dict[str, Any]:
        """How the set was made, for its meta."""
        made = {"name": self.name, "made": "synthetic", "seed": self.seed}
        return made | {"new_items": self.new_items, "n_users": self.n_users}


def make_synthetic(
    n_users: int = 1500,
    n_items: int = 1200,
    n_pairs: int = 28_000,
    widths: Mapping[str, int] | None = None,
    *,
    new_items: float = 0.2,
    seed: int = 0,
    half: bool = False,
    truth: Truth | None = None,
) -> Dataset:
    """The built-in data set, or one of another size, in memory and with all modalities present.

    Parameters
    ----------
    n_users, n_items, n_pairs : int
        Users, items, and the approximate number of pairs (each user has at least 2).
    widths : names and raw widths of the modalities, by default image 128, text 96, audio 64
    new_items : float
        Share of the items that are new, half validation, half test.
    seed : int
    half : bool
        Features in float16 instead of float32.
    truth : Truth, optional

    Raises
    ------
    SettingsError
        If a size isn't positive, or there are too few or too many pairs.
    """
    return make_planned(Plan(n_users, n_items, n_pairs, widths, new_items, seed, half, truth or Truth()))


def make_planned(plan: Plan) -> Dataset:
    """The data set of `plan`, in memory."""
    z = item_content(plan)
    blocks = list(pair_blocks(plan, z))
    user, item = (np.concatenate(part) for part in zip(*blocks, strict=True))
    item_split, split = split_new_items(user, item, plan.n_items, fraction=plan.new_items, seed=plan.seed)
    names = tuple(plan.modality_widths)
    features = {
        name: np.concatenate([modality_rows(plan, z, m, block) for block in plan.item_blocks()])
        for m, name in enumerate(names)
    }
    available = np.ones((plan.n_items, len(names)), dtype=np.bool_)
    return Dataset(user, item, split, item_split, names, features, available, meta=plan.meta())


def item_content(plan: Plan) -> Float32:
    """Latent content z of the items, (I, L)."""
    rng = generator(plan.seed, "synthetic-content")
    return rng.standard_normal((plan.n_items, plan.truth.content), dtype=np.float32)


def pair_blocks(plan: Plan, z: Float32) -> Iterator[Pairs]:
    """Users and items of the pairs, block by block, sorted by user, then item.

    Each user chooses the items of largest taste + popularity + Gumbel noise.
    """
    order = generator(plan.seed, "synthetic-popularity").permutation(plan.n_items)
    for start, n in plan.user_blocks():
        yield _pairs(plan, z, order, start, n)


def _pairs(plan: Plan, z: Float32, order: NDArray[np.int64], start: int, n: int) -> Pairs:
    """Pairs of the `n` users from `start`."""
    rng = generator(plan.seed, "synthetic-pairs", start)
    taste = rng.standard_normal((n, plan.truth.content), dtype=np.float32)
    taste *= np.float32(plan.truth.taste / np.sqrt(plan.truth.content))
    degree = _degrees(rng, n, plan.n_pairs / plan.n_users, plan.looked_at // 2)
    look = _score_all if plan.n_items <= SCORE_ALL else _score_sample
    items, score = look(rng, plan, z, taste, order)
    chosen = _take(rng, score, degree)
    key = np.repeat(np.arange(start, start + n), degree) * plan.n_items
    key = np.sort(key + items[np.repeat(np.arange(n), degree), chosen])
    user, item = np.divmod(key[np.diff(key, prepend=-1) > 0], plan.n_items)
    return user.astype(np.int32), item.astype(np.int32)


def _degrees(rng: np.random.Generator, n: int, mean: float, most: int) -> NDArray[np.int64]:
    """Pairs per user: 2 plus a log-normal with the rest of the mean, at most `most`."""
    spread = 0.7
    extra = (mean - 2) * np.exp(spread * rng.standard_normal(n) - spread**2 / 2)
    wanted: NDArray[np.int64] = (2 + np.floor(extra + rng.random(n))).astype(np.int64)
    return np.minimum(wanted, max(1, most))


@one_blas_thread()
def _score_all(
    rng: np.random.Generator, plan: Plan, z: Float32, taste: Float32, order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Float32]:
    """All items and their scores without noise, (n, I) each; popularity is a Gumbel quantile of its rank."""
    popular = -np.log(-np.log((order + 0.5) / plan.n_items)) * plan.truth.popularity
    items = np.broadcast_to(np.arange(plan.n_items), (len(taste), plan.n_items))
    return items, taste @ z.T + popular.astype(np.float32)


def _score_sample(
    rng: np.random.Generator, plan: Plan, z: Float32, taste: Float32, order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Float32]:
    """Items drawn by popularity (rank = I u^(1 + popularity)) and their scores, (n, looked at)."""
    u = rng.random((len(taste), plan.looked_at), dtype=np.float32)
    rank = (u ** np.float32(1 + plan.truth.popularity) * plan.n_items).astype(np.int64)
    items = order[np.minimum(rank, plan.n_items - 1)]
    return items, np.einsum("ul,ucl->uc", taste, z[items])


def _take(rng: np.random.Generator, score: Float32, degree: NDArray[np.int64]) -> NDArray[np.int64]:
    """Columns of the `degree` best of each row after Gumbel noise, one row after the other."""
    wait = rng.standard_exponential(score.shape, dtype=np.float32)
    score = score - np.log(np.maximum(wait, np.float32(1e-30)))
    best = np.argsort(-score, axis=1)
    taken: NDArray[np.int64] = best[np.arange(score.shape[1]) < degree[:, None]]
    return taken


@one_blas_thread()
def modality_rows(plan: Plan, z: Float32, modality: int, block: slice) -> NDArray[np.floating[Any]]:
    """Raw rows of one modality for a block of items, (n, D_m) float32, or float16 if `plan.half`."""
    truth, width = plan.truth, list(plan.modality_widths.values())[modality]
    shown = (np.arange(truth.shown) + 3 * modality) % truth.content
    directions = generator(plan.seed, "synthetic-modality", modality).standard_normal(
        (truth.shown + truth.private + 1, width), dtype=np.float32
    )
    rng = generator(plan.seed, "synthetic-rows", modality, block.start)
    n = block.stop - block.start
    private = rng.standard_normal((n, truth.private), dtype=np.float32)
    private *= np.float32(truth.private_strength)
    rows = z[block][:, shown] @ directions[: truth.shown] + private @ directions[truth.shown : -1]
    rows += np.float32(truth.offset) * directions[-1]
    rows += np.float32(truth.noise) * rng.standard_normal(rows.shape, dtype=np.float32)
    rows *= np.exp(np.float32(0.3) * rng.standard_normal((n, 1), dtype=np.float32))
    return rows.astype(np.float16) if plan.half else rows
