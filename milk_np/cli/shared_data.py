"""The data of a rank: its users of a file, or its shards."""

from __future__ import annotations

from collections.abc import Callable

from milk_np.data import Dataset
from milk_np.data.shards import shard_sizes
from milk_np.data.share import Share, share_shards, share_users
from milk_np.errors import SettingsError
from milk_np.models.registry import model_class, trained
from milk_np.ranks.group import Ranks
from milk_np.settings.shared import Settings


def shared_data(
    path: str | None,
    settings: Settings,
    ranks: Ranks,
    load: Callable[[], Dataset],
    prepare: Callable[[Dataset], Dataset],
) -> tuple[Dataset, Share | None]:
    """The data of this rank's users, and who they are; all, and no share, for a process alone with data in one file.

    `load` reads all of them, `prepare` is done to what is read.
    """
    model = model_class(settings.model)
    if ranks.size > 1 and not (model.shares_users or model.shares_sums):
        raise SettingsError(f"model (--model): {settings.model} can't be trained by several ranks, {able()} can")
    if path is not None and model.shares_users and shard_sizes(path):
        ds, share = share_shards(path, ranks)
        return prepare(ds), share
    whole = prepare(load())
    return (whole, None) if ranks.size == 1 or not model.shares_users else share_users(whole, ranks)


def able() -> str:
    """Names of the models that several ranks can train."""
    models = {name: model_class(name) for name in trained()}
    return ", ".join(name for name, model in models.items() if model.shares_users or model.shares_sums)
