"""GPU memory needed for training, compared with what is free before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.settings.triplets import TripletSettings

_FLOAT, _INT, _LONG = 4, 4, 8
_LIBRARIES = 64 * 2**20  # work space of cuBLAS, and compiled kernels
_RANKING = 64 * 2**20  # vectors of a block of users; scores take what is left


def device_bytes(settings: TripletSettings, ds: Dataset, E: int) -> dict[str, int]:
    """Bytes that training on `ds` in E environments takes on the device besides the raw feature rows, by purpose."""
    widths = [int(ds.features[name].shape[1]) for name in ds.modalities]
    n_pairs = int((ds.split == Split.TRAIN).sum())
    return training_bytes(settings, n_users=ds.n_users, n_items=ds.n_items, n_train_pairs=n_pairs, widths=widths, E=E)


def training_bytes(
    settings: TripletSettings, *, n_users: int, n_items: int, n_train_pairs: int, widths: Sequence[int], E: int
) -> dict[str, int]:
    """The same, computed from sizes.

    The user table is stored three times (value and two moments; a batch's rows have a gradient), the extractors four
    times. The rows of a batch's distinct items, at most min(2 B, I), are gathered where features stay on the host;
    where they are on the device, this memory holds the sums of blocks that share a product.
    """
    K, M, D = settings.dim, len(widths), sum(widths)
    B = min(settings.batch_size, max(n_train_pairs, 1))
    items, users = min(2 * B, n_items), min(B, n_users)
    tables = 3 + 2 * (settings.reg_scope == "all")
    return {
        "parameters and optimiser": _FLOAT * (tables * n_users * K + 4 * (D + M) * K),
        "a batch": _FLOAT * (items * D + 2 * M * items * K + users * K + B * (2 * M + E)),
        "training pairs": n_train_pairs * 3 * _INT + _LONG * (n_users + 1),
        "normalisation and imputation": n_items * M * (2 * _FLOAT + 1),
        "ranking and libraries": _FLOAT * n_items * K + _RANKING + _LIBRARIES,
    }
