"""Host memory needed for training MILK, computed from sizes."""

from __future__ import annotations

from typing import Any

from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.kernels.reference.histories import OWNERS
from milk_np.models.extractors.memory import batch_bytes, batch_length, parameter_bytes, training_bytes
from milk_np.models.milk.environments import mixing
from milk_np.models.milk.settings import MilkSettings

_FLOAT, _INT = 4, 4


def milk_bytes(settings: MilkSettings, **sizes: Any) -> dict[str, int]:
    """Bytes that training adds to the loaded data set, by purpose.

    With profiles of users a batch may touch every training pair, so every item, and the vectors of all users and items
    are kept in addition to the parameters.
    """
    E = mixing(settings, len(sizes["widths"])).count
    need = training_bytes(settings, **sizes, E=E)
    return need if settings.users == "free" else need | _with_histories(settings, **sizes, E=E)


def _with_histories(
    settings: MilkSettings, *, n_users: int, n_items: int, n_train_pairs: int, widths: Any, E: int, **others: int
) -> dict[str, int]:
    """What profiles change."""
    K, B = settings.dim, batch_length(settings, n_train_pairs)
    histories = _INT * 6 * n_train_pairs + _FLOAT * K * (5 * B + 2 * n_items + n_users + n_items)
    return {
        "parameters and optimiser": parameter_bytes(0 if settings.users == "profile" else n_users, widths, K),
        "a batch": batch_bytes(B, n_items, K, len(widths), E) + histories,
    }


def on_device(need: dict[str, int], settings: MilkSettings, ds: Dataset) -> dict[str, int]:
    """The `need` of memory on a device, with what profiles of users add to a batch and leave out of the parameters.

    Sizes are those of a batch that touches every item.
    """
    if settings.users == "free":
        return need
    K, M, n_items, n_users = settings.dim, ds.n_modalities, ds.n_items, ds.n_users
    n_pairs = int((ds.split == Split.TRAIN).sum())
    B = batch_length(settings, n_pairs)
    owners = (
        -(-min(B, n_users, OWNERS) // 128) * 18 * n_items
    )  # bits of users by item, in words of 16 bytes, and an eighth
    rows = _FLOAT * K * (n_items * (2 * M + 2) + 5 * B + 2 * min(B, n_users))
    own = 3 * _FLOAT * n_users * K if settings.users == "profile" else 0
    return need | {
        "parameters and optimiser": need["parameters and optimiser"] - own,
        "a batch": need["a batch"] + rows + owners + _INT * 4 * n_items,
        "training pairs": need["training pairs"] + _INT * n_pairs + 2 * _INT * (n_users + 1),
    }
