"""The problems that the benchmarks measure: sizes, interactions, features, batches and starting parameters.

The Baby shape of the paper is U = 19,445 users, I = 7,050 items, raw widths 4,096 (image) and 1,024 (text).
Its interactions are the real ones where the environment variable `MILK_DATA` names a folder that has
`baby/interactions.csv.gz`, and a synthetic set of the same counts and skew elsewhere. Features are random
rows of unit length: speed does not depend on their values. Everything is drawn from a fixed seed and written
to one folder, so that programs in separate processes read the same arrays.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Shape:
    """Sizes of a problem; `fields` of the symbols in milk_np's legend."""

    name: str = "baby"
    users: int = 19_445
    items: int = 7_050
    pairs: int = 160_792
    widths: tuple[int, ...] = (4096, 1024)
    dim: int = 64
    batch: int = 2048
    alpha: float = 0.1
    seed: int = 0


BABY = Shape()
# The same form, small enough for tests and smoke runs.
TINY = Shape("tiny", users=300, items=200, pairs=4_000, widths=(48, 32), dim=16, batch=256)


def real_pairs(shape: Shape) -> tuple[Array, Array] | None:
    """The (user, item) pairs of the real set, or None where it isn't there or has other sizes."""
    folder = os.environ.get("MILK_DATA")
    path = Path(folder or "") / shape.name / "interactions.csv.gz"
    if not folder or not path.is_file():
        return None
    with gzip.open(path, "rt", newline="") as lines:
        rows = csv.reader(lines)
        next(rows)
        table = np.array([(int(u), int(i)) for u, i in rows], dtype=np.int32)
    return table[:, 0].copy(), table[:, 1].copy()


def synthetic_pairs(shape: Shape) -> tuple[Array, Array]:
    """Distinct pairs with the popularity skew of the real sets: weight of the r-th item falls as r^-0.7."""
    rng = np.random.default_rng((shape.seed, 1))
    weight = np.arange(1, shape.items + 1) ** -0.7
    item_p = rng.permutation(weight / weight.sum())
    user_p = rng.lognormal(0.0, 0.7, shape.users)
    keys = np.empty(0, np.int64)
    while keys.size < shape.pairs:
        user = rng.choice(shape.users, shape.pairs, p=user_p / user_p.sum())
        keys = np.unique(
            np.concatenate([keys, user * np.int64(shape.items) + rng.choice(shape.items, shape.pairs, p=item_p)])
        )
    keys = np.sort(rng.permutation(keys)[: shape.pairs])
    return (keys // shape.items).astype(np.int32), (keys % shape.items).astype(np.int32)


def split_items(shape: Shape) -> Array:
    """uint8 (I): 0 training item, 1 valid new item, 2 test new item; a fifth of the items are new, half of it
    test.
    """
    new = np.random.default_rng((shape.seed, 2)).permutation(shape.items)[: shape.items // 5]
    split = np.zeros(shape.items, np.uint8)
    split[new[: new.size // 2]] = 1
    split[new[new.size // 2 :]] = 2
    return split


def unit_rows(rng: np.random.Generator, rows: int, width: int) -> Array:
    """Random float32 (rows, width) with rows of length 1."""
    x = rng.standard_normal((rows, width), dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def draw_negatives(shape: Shape, user: Array, item: Array, n_draws: Array) -> Array:
    """int32: for each user of `n_draws` an item uniform over all items they have no pair (user, item) with."""
    rng = np.random.default_rng((shape.seed, 3))
    seen = np.sort(user.astype(np.int64) * shape.items + item)
    negative = rng.integers(0, shape.items, n_draws.size)
    while True:
        key = n_draws.astype(np.int64) * shape.items + negative
        bad = np.flatnonzero(seen[np.minimum(np.searchsorted(seen, key), seen.size - 1)] == key)
        if bad.size == 0:
            return negative.astype(np.int32)
        negative[bad] = rng.integers(0, shape.items, bad.size)


def environments(alpha: float, steps: int, modalities: int, seed: int) -> Array:
    """float32 (steps, M + 1, M): equal weights, one Dirichlet draw and its cyclic shifts."""
    draw = np.random.default_rng((seed, 4)).dirichlet(np.full(modalities, alpha), steps)
    rows = [np.full((steps, modalities), 1.0 / modalities)]
    rows += [np.roll(draw, shift, axis=1) for shift in range(modalities)]
    return np.stack(rows, axis=1).astype(np.float32)


def initial_parameters(shape: Shape) -> dict[str, Array]:
    """P ~ N(0, 0.1^2), W^m and b^m uniform within 1/sqrt(D_m); float32."""
    rng = np.random.default_rng((shape.seed, 5))
    start = {"P": (0.1 * rng.standard_normal((shape.users, shape.dim))).astype(np.float32)}
    for m, width in enumerate(shape.widths):
        bound = width**-0.5
        start[f"W{m}"] = rng.uniform(-bound, bound, (width, shape.dim)).astype(np.float32)
        start[f"b{m}"] = rng.uniform(-bound, bound, shape.dim).astype(np.float32)
    return start


def write(shape: Shape, folder: Path) -> None:
    """Write the problem: `shape.json` and one .npy for each array (see `Problem`)."""
    real = real_pairs(shape)
    user, item = real if real is not None else synthetic_pairs(shape)
    kind = split_items(shape)
    arrays = {"user": user, "item": item, "split": kind[item], "item_split": kind}
    train = np.flatnonzero(kind[item] == 0)
    order = np.random.default_rng((shape.seed, 6)).permutation(train)
    arrays |= {
        "u": user[order],
        "i": item[order],
        "j": draw_negatives(shape, user[train], item[train], user[order]),
    }
    steps = -(-order.size // shape.batch)
    arrays["theta"] = environments(shape.alpha, steps, len(shape.widths), shape.seed)
    rng = np.random.default_rng((shape.seed, 7))
    arrays |= {f"x{m}": unit_rows(rng, shape.items, width) for m, width in enumerate(shape.widths)}
    arrays |= initial_parameters(shape)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    about = asdict(shape) | {"interactions": "real" if real is not None else "synthetic"}
    (folder / "shape.json").write_text(json.dumps(about))


class Problem:
    """A problem read from its folder.

    user, item, split: every pair and its split (0 train, 1 valid, 2 test); item_split: (I)
    u, i, j: the training triplets of one epoch in batch order, int32 (n); theta: (steps, E, M)
    x: list of float32 (I, D_m), unit rows; parameters: dict of P (U, K), W0, b0, W1, ...
    """

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "shape.json").read_text())
        self.interactions = about.pop("interactions")
        self.shape = Shape(**{k: tuple(v) if isinstance(v, list) else v for k, v in about.items()})
        self.folder = folder
        for name in ("user", "item", "split", "item_split", "u", "i", "j", "theta"):
            setattr(self, name, np.load(folder / f"{name}.npy"))

    user: Array
    item: Array
    split: Array
    item_split: Array
    u: Array
    i: Array
    j: Array
    theta: Array

    @property
    def x(self) -> list[Array]:
        """The feature rows; read anew on each call, so that only programs that use them hold them."""
        return [np.load(self.folder / f"x{m}.npy") for m in range(len(self.shape.widths))]

    @property
    def parameters(self) -> dict[str, Array]:
        """Starting parameters, fresh copies."""
        names = ["P"] + [f"{k}{m}" for m in range(len(self.shape.widths)) for k in "Wb"]
        return {name: np.load(self.folder / f"{name}.npy") for name in names}

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return len(self.theta)

    def batch(self, step: int) -> tuple[Array, Array, Array, Array]:
        """u, i, j (B or what is left of the epoch) and theta (E, M) of a step, counted past the epoch's end
        too.
        """
        at = step % self.steps
        rows = slice(at * self.shape.batch, (at + 1) * self.shape.batch)
        return self.u[rows], self.i[rows], self.j[rows], self.theta[at]
