"""`DaskKernelProfile`: the kernel profile, fitted by the workers of a Dask cluster."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Self

from milk_np.backends.select import get_backend
from milk_np.dask.engine import DaskEngine, client_or_default
from milk_np.dask.lists import Job, gathered, written
from milk_np.dask.shared import SharedPairs, check_workers, on_shared_disk
from milk_np.data import Dataset
from milk_np.errors import SettingsError
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.kernel_profile.pairs import Pairs
from milk_np.models.serving import Excluded
from milk_np.serving.identity import IdList
from milk_np.serving.parts import model_print
from milk_np.serving.recommend import Ranked
from milk_np.training.events import Callbacks

StrPath = str | PathLike[str]

BLOCK_USERS = 1 << 14
"""Users of a task of lists."""


class DaskKernelProfile:
    """The kernel profile, its sums over items and users made by Dask workers: the same bits for any number of them.

    Parameters
    ----------
    client : distributed.Client, optional
        The cluster; by default the client that this process made last.
    folder : path, optional
        A folder on a disk that this process and all workers see, for what they share: the training pairs, the model.
        By default a temporary one of this machine, which suits a LocalCluster.
    patience : float
        Seconds to wait for a worker where none is left.
    settings : see `milk_np.KernelProfileSettings`

    Attributes
    ----------
    settings : KernelProfileSettings

    Notes
    -----
    The fit is steered by this process: it holds the training pairs once, and the vectors of the items. Items' features
    are read by the workers from the data set's folder. Bits are the same as those of `milk_np.KernelProfile` where all
    machines have the same kind of processor.
    """

    def __init__(
        self, client: Any = None, *, folder: StrPath | None = None, patience: float = 60.0, **settings: Any
    ) -> None:
        self._model = KernelProfile(**settings)
        self.settings = self._model.settings
        if self.settings.device != "cpu":
            raise SettingsError(f"device: expected cpu, the workers' processors, got {self.settings.device!r}")
        self.client, self.patience, self._given = client, patience, folder
        self._temporary: Path | None = None

    def fit(
        self,
        data: Dataset | StrPath | None = None,
        *,
        pairs: StrPath | None = None,
        features: Mapping[str, StrPath] | None = None,
        callback: Callbacks = None,
        final: bool = False,
        **options: Any,
    ) -> Self:
        """Fit on a data set, or on tables.

        Parameters
        ----------
        data : folder made by milk-prepare, or Dataset
            Workers read the features of a folder where it lies; those of a Dataset in memory, or of an .npz file, are
            written to the shared folder first.
        pairs, features : instead of `data`, a table of pairs (such as a folder of Parquet parts) and a file of features
            for each modality, by id, with `options` of `milk_np.data.from_tables`
        callback : function of `milk_np.training.progress.Progress`, called at each phase
        final : bool
            Fit on every item that has a pair.

        Raises
        ------
        SettingsError, DataError
            For wrong arguments or data; where a worker doesn't see the shared folder.
        DeviceError
            If no worker is left, or the work killed several.
        """
        engine = self._engine()
        ds = _dataset(data, pairs, features, options)
        ds = on_shared_disk(ds.all_training() if final else ds, self._folder)
        shared = SharedPairs.write(ds, self._folder / "pairs")
        of = Pairs(get_backend("cpu", self.settings.threads), shared, (ds.n_users, shared.n), shared.n_pairs, engine)
        model = KernelProfile(self.settings).fit(ds, callback=callback, pairs=of)
        model.save(self._file)
        self._model = KernelProfile.load(self._file)  # as the workers load it: the same vectors of items, to the bit
        return self

    def recommend(
        self,
        users: IdList | None = None,
        k: int = 20,
        *,
        out: StrPath | None = None,
        candidates: str | IdList = "new",
        exclude_seen: bool = True,
        exclude: Excluded = (),
        block_users: int = BLOCK_USERS,
    ) -> Ranked | list[Path]:
        """The best `k` items for each of `users` (all by default), a block of `block_users` a task.

        With `out`, a folder that all workers see, each block is written to a Parquet file of its own, which is whole or
        absent; the next call makes only those that are missing. Returns the files, which `milk-merge` makes one of.
        Without it, returns the lists, as `KernelProfile.recommend` does. Raises DataError for a folder that has other
        lists, and what `KernelProfile.recommend` raises.
        """
        engine = self._engine()
        job = Job.made(
            self.to_local(),
            (str(self._file), model_print(self._file)),
            users,
            k=k,
            candidates=candidates,
            exclude_seen=exclude_seen,
            exclude=exclude,
            block_users=block_users,
        )
        return gathered(engine, job) if out is None else written(engine, job, Path(out))

    def to_local(self) -> KernelProfile:
        """The fitted model, which needs no cluster: the same as if it had been fitted in this process."""
        self._model.fitted_imputer()  # SettingsError if it isn't fitted
        return self._model

    def _engine(self) -> DaskEngine:
        client = client_or_default(self.client)
        check_workers(client, self._folder)
        return DaskEngine(client, self.patience)

    @property
    def _folder(self) -> Path:
        """What this process and the workers share."""
        if self._given is not None:
            Path(self._given).mkdir(parents=True, exist_ok=True)
            return Path(self._given).resolve()
        if self._temporary is None:
            self._temporary = Path(mkdtemp(prefix="milk-dask-"))
            weakref.finalize(self, shutil.rmtree, self._temporary, ignore_errors=True)
        return self._temporary

    @property
    def _file(self) -> Path:
        return self._folder / "model.npz"


def _dataset(
    data: Dataset | StrPath | None,
    pairs: StrPath | None,
    features: Mapping[str, StrPath] | None,
    options: Mapping[str, Any],
) -> Dataset:
    """The data that `fit` was given in one of its ways."""
    if (data is None) == (pairs is None) or (pairs is None) != (features is None):
        raise SettingsError("fit: expected data (a folder or a Dataset), or both pairs and features (tables)")
    if pairs is not None and features is not None:
        from milk_np.data.importers.tables import from_tables

        return from_tables(pairs, features, **options)
    if options:
        raise SettingsError(f"fit: {', '.join(options)}: applies to pairs and features; leave it out")
    return data if isinstance(data, Dataset) else Dataset.load(str(data))
