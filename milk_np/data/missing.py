"""Protocols of missing modalities: which item loses which modality.

Two letters for training and two for new items, F full or M missing: FTFT, FTMT, MTFT, MTMT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split, evaluated
from milk_np.data.dataset import Dataset
from milk_np.errors import DataError, SettingsError
from milk_np.rng import generator
from milk_np.settings.names import PROTOCOLS
from milk_np.settings.shared import Settings


def make_mask(
    item_split: NDArray[np.uint8],
    n_modalities: int,
    protocol: str,
    *,
    missing_train: float = 0.3,
    missing_test: float = 0.5,
    mix: Sequence[float] | None = None,
    seed: int = 0,
    owned: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Draw the availability (I, M) of a protocol; no item ever loses its last modality.

    `round(rate * n)` of the n items in question, drawn without replacement, lose one modality chosen at random.

    Parameters
    ----------
    item_split : (I,) uint8
        0 training item, 1 or 2 new item; items without pairs (3) keep what they have.
    protocol : one of PROTOCOLS
    missing_train, missing_test : float
        Share of the training items (MTFT, MTMT) and of the new items (FTMT, MTMT) that miss one modality.
    mix : shares of the new items that miss 0, 1, 2, ... modalities, optional
        Replaces `missing_test` (varied missing scenario of the paper's Fig. 3).
    owned : (I, M) bool, optional
        Modalities that are available before; by default all. Rates refer to items with two or more.

    Raises
    ------
    SettingsError
        If the protocol is unknown, a rate isn't in 0..1, or the mix has a negative share or doesn't sum to 1.
    DataError
        If there is a single modality, which can't be removed, or the mix would remove an item's last one.
    """
    mix = tuple(mix or ())
    _check_settings(protocol, missing_train, missing_test, mix)
    available = np.ones((len(item_split), n_modalities), dtype=np.bool_) if owned is None else owned.copy()
    train_shares = _shares(missing_train if protocol.startswith("MT") else 0.0)
    test_shares = mix or _shares(missing_test if protocol.endswith("MT") else 0.0)
    for stream, items, shares in (
        ("missing-train", np.flatnonzero(item_split == Split.TRAIN), train_shares),
        ("missing-test", np.flatnonzero(evaluated(item_split)), test_shares),
    ):
        _check_shares(shares, n_modalities)
        _drop(available, items, shares, generator(seed, stream))
    return available


def _shares(rate: float) -> tuple[float, ...]:
    return (1.0 - rate, rate)


def _check_settings(protocol: str, train: float, test: float, mix: tuple[float, ...]) -> None:
    if protocol not in PROTOCOLS:
        raise SettingsError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    for name, rate in (("missing_train", train), ("missing_test", test)):
        if not 0 <= rate <= 1:
            raise SettingsError(f"{name}: expected a share from 0 to 1, got {rate}")
    if not mix:
        return
    if not protocol.endswith("MT"):
        raise SettingsError(f"missing_mix: expected a protocol with missing new items (FTMT or MTMT), got {protocol}")
    if not all(share >= 0 for share in mix) or abs(sum(mix) - 1) > 1e-6:
        raise SettingsError(f"missing_mix: expected shares that sum to 1, such as 0.10 0.45 0.45, got {mix}")


def _check_shares(shares: tuple[float, ...], n_modalities: int) -> None:
    most = max(count for count, share in enumerate(shares) if share > 0)
    if most == 0:
        return
    if n_modalities == 1:
        raise DataError(
            "missing modalities: expected at least two modalities, got one, which can't be removed; use protocol FTFT "
            "or rates of 0"
        )
    if most >= n_modalities:
        raise DataError(
            f"missing_mix: items would lose {most} of {n_modalities} modalities, expected at most {n_modalities - 1}"
        )


def _drop(
    available: NDArray[np.bool_], items: NDArray[np.intp], shares: tuple[float, ...], rng: np.random.Generator
) -> None:
    """Remove modalities from `available` in place: shares[c] of the items lose c, but keep at least one."""
    items = items[available[items].sum(axis=1) >= 2]
    losses = np.repeat(np.arange(len(shares)), _counts(shares, len(items)))
    order = rng.permutation(items)[::-1]
    # Of an item's modalities, those with the lowest random keys are removed.
    keys = rng.random((len(items), available.shape[1]))
    keys[~available[order]] = 2.0
    rank = np.argsort(np.argsort(keys, axis=1), axis=1)
    lost = np.minimum(losses, available[order].sum(axis=1) - 1)
    available[order] &= rank >= lost[:, None]


def _counts(shares: tuple[float, ...], n: int) -> NDArray[np.int64]:
    """Whole numbers that sum to n: rounded shares; the count of complete items takes the remainder."""
    if len(shares) == 2:
        few = round(shares[1] * n)
        return np.array([n - few, few])
    edges = np.array([round(float(edge) * n) for edge in np.cumsum(shares)])
    edges[-1] = n
    return np.diff(edges, prepend=0)


@dataclass(frozen=True)
class Mask:
    """A protocol with its rates and seed; see `make_mask`."""

    protocol: str
    missing_train: float = 0.3
    missing_test: float = 0.5
    mix: tuple[float, ...] = ()
    seed: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The mask that `settings` describe; None to keep the one stored in the data."""
        if settings.protocol is None:
            return None
        rates = settings.missing_train, settings.missing_test
        return cls(settings.protocol, *rates, settings.missing_mix, settings.missing_seed)

    def apply(self, ds: Dataset) -> Dataset:
        """`ds` under the mask, which is recorded in its meta; features are shared. See `apply_protocol`."""
        natural = bool(ds.meta.get("natural_missing"))
        if natural and "protocol" in ds.meta:
            raise DataError(
                f"{ds.name}: its mask combines modalities that the raw data lack with those that "
                f"{ds.meta['protocol']} removed; expected a data set without a protocol: apply the new one to that"
            )
        available = self.draw(ds.item_split, ds.n_modalities, ds.available if natural else None)
        return ds.with_available(available, self.meta())

    def draw(
        self, item_split: NDArray[np.uint8], n_modalities: int, owned: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        """The availability (I, M)."""
        return make_mask(item_split, n_modalities, **asdict(self), owned=owned)

    def meta(self) -> dict[str, Any]:
        """What is recorded in the data set."""
        renamed = {"mix": "missing_mix", "seed": "missing_seed"}
        return {renamed.get(k, k): list(v) if k == "mix" else v for k, v in asdict(self).items()}


def apply_protocol(
    ds: Dataset,
    protocol: str,
    *,
    missing_train: float = 0.3,
    missing_test: float = 0.5,
    mix: Sequence[float] | None = None,
    seed: int = 0,
) -> Dataset:
    """`ds` under the mask of a protocol, recorded in its meta; features are shared.

    A mask drawn by an earlier protocol is replaced. Modalities that the raw data lack (meta `natural_missing`) stay
    missing. Parameters and errors are those of `make_mask`.
    """
    return Mask(protocol, missing_train, missing_test, tuple(mix or ()), seed).apply(ds)


def masked(ds: Dataset, settings: Settings) -> Dataset:
    """`ds` under the mask that `settings` describe."""
    mask = Mask.of(settings)
    return ds if mask is None else mask.apply(ds)
