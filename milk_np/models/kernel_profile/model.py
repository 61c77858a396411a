"""Kernel profile: users are what they chose, new items what their owned modalities say of them, both in closed form.

R B says what users would choose among the training items (`.smoothing`). Kernel ridge regression
predicts an item's column of it from content (`.ridge`), with a regression of its own for every set of
modalities that an item can own: nothing is imputed. Content is whitened first where that ranks better, and the noise is
one that ranks better than its neighbours (`.whitening`, `.by_ranking`). With W the principal axes of
the users' vectors R B F (F^T F + noise I)^-1 in the space of the regression's features, cut to K,

history of item j:  h = B F (F^T F + noise I)^-1 W              (n, K)
targets:            T = B^T R^T P (P^T P)^-1, P = R h           (n, K), the columns of R B as combinations of P's
user u:             p_u = sum over their items of h_j popularity_j^-rarity, and `prior` times the mean over all pairs
new item:           z = k(x)^T C, C the regression of T on the modalities that the item owns, adjusted by what
                    held-out items say of lists: its length (`.lengths`), and what lifts it if it lacks some
                    modalities (`.exposure`)
score:              p_u . z

in other coordinates (`milk_np.serving.axes`) of which the first say most, and cut to `width` of them. Here popularity_j
is the number of item j's users: what few choose says more of who chose it. A few items say less of a user than many, so
that a little of the mean user is added. A user is their history and nothing else: one who was not in the training is
described like one who was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from milk_np.backends.select import get_backend
from milk_np.data import Dataset, Imputer
from milk_np.data.imputers.constant import MeanImputer
from milk_np.errors import SettingsError
from milk_np.files import require
from milk_np.files.schema import FLOATS, Field, Schema
from milk_np.kernels.blas import one_blas_thread
from milk_np.models.base import Vectors, data_sizes
from milk_np.models.by_history import HistoryModel
from milk_np.models.kernel_profile import memory
from milk_np.models.kernel_profile.adjusting import ADJUSTING, adjusted, check_adjusting, known_by_held_out, unadjusted
from milk_np.models.kernel_profile.by_ranks import RanksEngine
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.content import content, content_of, item_blocks, similarities
from milk_np.models.kernel_profile.fit import BALANCING, PARAMETERS, fit_profile
from milk_np.models.kernel_profile.limits import MOST_EVEN
from milk_np.models.kernel_profile.model_signature import KernelProfileSignature
from milk_np.models.kernel_profile.narrowing import balanced
from milk_np.models.kernel_profile.on_device import DeviceVectors
from milk_np.models.kernel_profile.pairs import Pairs
from milk_np.models.kernel_profile.ridge import choose_sets, weighted
from milk_np.models.kernel_profile.whitening import whitened
from milk_np.models.on_data import OnData
from milk_np.models.stored import Arrays
from milk_np.serving.catalogue import Catalogue
from milk_np.serving.joining import Joined
from milk_np.training.progress import Callbacks, Phases
from milk_np.training.run_folder import RunFolder


class KernelProfile(KernelProfileSignature, HistoryModel):
    """Users described by what they chose, items by what their owned modalities say of it; fitted in one pass.

    Settings: `profile_width` (K), `width`, `landmarks`, `smoothing`, `smoothing_rank`, `smoothing_power`, `rarity`,
    `prior`, `owned_sets`, `kernel_scale`, `kernel_noise`, `modality_weights`, `whitening`, `length_power`,
    `even_exposure`, and `seed`, which draws the landmarks. Where they are unset, the weights are chosen by the
    leave-one-out error, noise, whitening, the power of lengths and how far exposure is evened by ranking held-out
    items. Sums over items and pairs, made by blocks, the ranking of held-out items, vectors of users and items, and
    ranking run on `device`; all that is of landmarks by landmarks, on the host. The bits of a fit on the host don't
    depend on the number of threads. The products that make an item's vector are BLAS's, whose rounding depends on a
    row's place among others: an item's vector, and its scores, may differ by rounding (float32) when other items are
    encoded with it, and those of equal items may. A user's vector is the same to the bit.

    Attributes
    ----------
    settings : KernelProfileSettings
    kernel : ContentKernel, after `fit` or `load`
    """

    name: ClassVar[str] = "kernel-profile"
    shares_sums: ClassVar[bool] = True
    schema: ClassVar[Schema] = {
        "history": Field(FLOATS, ("I", "K")),
        "mean_item": Field(FLOATS, ("K",)),
        "sets": Field("b", ("S", "M")),
        "coefficients": Field(FLOATS, ("S", "*", "K")),
        "centre": Field(FLOATS, ("K",), optional=True),
        "metric": Field(FLOATS, ("K",), optional=True),
        "mean_square": Field(FLOATS, (), optional=True),
        "length_power": Field(FLOATS, (), optional=True),
        "lifts": Field(FLOATS, ("M",), optional=True),
        "kernel": Field(FLOATS, ("*",)),
        "landmark#": Field(FLOATS, ("L", "*")),
        "axes#": Field(FLOATS, ("*", "*")),
    }
    memory_need = staticmethod(memory.training_bytes)
    memory_advice = memory.ADVICE
    _ds: Dataset | None = None
    _on_device: DeviceVectors | None = None

    # Vectors

    def _profiles(self, indptr: NDArray[np.int64], items: NDArray[np.int32]) -> Vectors:
        """Sums of the history vectors of compressed rows of items, and `prior` mean items."""
        vectors, mean_item, device = self._fitted()["history"], self._fitted()["mean_item"], self._device_vectors()
        out = None if device is None else device.users(indptr, items)
        if out is None:
            chosen = sparse.csr_array((np.ones(len(items), np.float32), items, indptr), (len(indptr) - 1, len(vectors)))
            out = chosen @ vectors
        out += np.float32(self.settings.prior) * mean_item
        return out

    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        """Vectors (n, K) of items of the fitted data, from their content; of all I when None."""
        self._fitted()
        if self._ds is None:
            return np.array(self._stored_items() if items is None else self._stored_items()[items])
        ids, device = np.arange(self._ds.n_items) if items is None else np.asarray(items), self._device_vectors()
        if device is not None:
            return device.items([self._ds.features[name] for name in self._centres], ids, self._ds.available[ids])
        blocks = [ids[block] for block in item_blocks(len(ids), self._centres)]
        return self._stacked(
            [self._encode(content_of(self._centres, self._ds, part), self._ds.available[part]) for part in blocks]
        )

    def encode_items(
        self, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None = None
    ) -> Vectors:
        """Vectors (n, K) of items that weren't in the data; see `Recommender.encode_items`. Nothing is imputed."""
        given, owned = self.fitted_imputer().checked(features, available)
        if (device := self._device_vectors()) is not None:
            return device.items([given[name] for name in self._centres], np.arange(len(owned)), owned)
        blocks = item_blocks(len(owned), self._centres)
        parts = [({name: rows[b] for name, rows in given.items()}, owned[b]) for b in blocks]
        return self._stacked([self._encode(content(self._centres, rows, mine), mine) for rows, mine in parts])

    def _device_vectors(self) -> DeviceVectors | None:
        """What makes vectors on a device; None if they are made on the host."""
        if self.backend.name == "cpu":
            return None
        arrays = self._fitted()
        if self._on_device is None or self._on_device.arrays is not arrays:
            self._on_device = DeviceVectors(self.backend, arrays, list(self._centres.values()), self.kernel)
        return self._on_device

    def __getstate__(self) -> dict[str, Any]:
        """For pickling and copying: the device is looked for, and what is on it sent there, again."""
        return {**vars(self), "_lazy_backend": None, "_on_device": None}

    def _stacked(self, parts: list[Vectors]) -> Vectors:
        return np.concatenate([np.zeros((0, self._fitted()["history"].shape[1]), np.float32), *parts])

    @one_blas_thread()
    def _encode(self, rows: list[Vectors], owned: NDArray[np.bool_]) -> Vectors:
        """z = k(x)^T coefficients, with the regression of the modalities that each item owns, adjusted."""
        arrays, kernel = self._fitted(), self.kernel
        M = len(rows)
        rows = [whitened(x, arrays[f"axes{m}"]) for m, x in enumerate(rows)]
        similar = similarities(rows, [arrays[f"landmark{m}"] for m in range(M)], kernel.scale)
        chosen = choose_sets(owned, arrays["sets"])
        out = np.empty((len(owned), arrays["history"].shape[1]), np.float32)
        for each in np.unique(chosen):
            mine = chosen == each
            out[mine] = weighted(similar[:, mine], kernel.weights, arrays["sets"][each]) @ arrays["coefficients"][each]
        return adjusted(out, ~arrays["sets"][chosen], arrays)

    @property
    def kernel(self) -> ContentKernel:
        """Scale, noise, weights and whitening of the modalities, given or chosen."""
        scale, noise, *each = self._fitted()["kernel"].tolist()
        M = len(each) // 2
        return ContentKernel(scale, noise, tuple(each[:M]), tuple(each[M:]))

    # Fitting

    def check(self, ds: Dataset) -> None:
        """Raises SettingsError if weights or exponents are given, but not one for each modality (one exponent may be
        for all), DeviceError without the device."""
        get_backend(self.settings.device, self.settings.threads)
        memory.refuse_too_little(self.settings, **data_sizes(ds))
        self._check_modalities("modality_weights", ds, shared=False)
        self._check_modalities("whitening", ds, shared=True)
        if self.settings.exposure_strength and not known_by_held_out(ds.n_modalities, self.settings):
            raise SettingsError(
                f"even_exposure (--even-exposure): got {self.settings.even_exposure}, which can be done for at most "
                f"{MOST_EVEN} modalities, each combination with a regression of its own; got {ds.n_modalities} and "
                f"owned_sets {self.settings.owned_sets}; leave it at auto"
            )

    def fit(
        self,
        ds: Dataset,
        *,
        callback: Callbacks = None,
        run: RunFolder | None = None,
        resume: bool = False,
        final: bool = False,
        pairs: Pairs | None = None,
    ) -> Self:
        """Fit in closed form; a signal ends it where it stands. There is nothing to `resume` from: it starts anew.

        A `final` model is fitted on all items that have pairs. `pairs` are the training pairs of `ds` where their sums
        are made elsewhere, on workers. Raises what `check` raises.
        """
        ds = ds.all_training() if final else ds
        self.check(ds)
        if self.ranks.size > 1 and pairs is None:
            backend = get_backend(self.settings.device, self.settings.threads)
            pairs = replace(Pairs.of(ds, backend), engine=RanksEngine(self.ranks))
        with Phases.of(callback, self.settings) as phases:
            self._ds, self._catalogue, self._items = ds, Catalogue.of(ds), None
            self.imputer, self._arrays, self._on_device = MeanImputer().fit(ds), {}, None
            with one_blas_thread():
                plan = memory.need_of(self.settings, **data_sizes(ds)).plan
                fitted, chosen = fit_profile(ds, self._centres, self.settings, phases, plan, pairs)
                phases("axes of the vectors", BALANCING)
                self._arrays = fitted | unadjusted(ds.n_modalities, fitted["mean_item"].shape)
                self._arrays = balanced(self, ds, chosen, plan.in_memory)
            if run is not None and self.ranks.first:
                self.save(run.model)
        return self

    def _check_modalities(self, name: str, ds: Dataset, *, shared: bool) -> None:
        """Whether the values of a setting are as many as modalities; one value may be `shared`."""
        values = getattr(self.settings, name)
        if values and len(values) != ds.n_modalities and not (shared and len(values) == 1):
            raise SettingsError(
                f"{name} (--{name.replace('_', '-')}): expected {ds.n_modalities}, one for each of "
                f"{', '.join(ds.modalities)}{', or one for all' if shared else ''}, got {len(values)}"
            )

    @property
    def error(self) -> float:
        """The kernel's leave-one-out error as a share of what there is to predict; that of another may be less."""
        return float(self._fitted()["error"])

    def _extended(self, joined: Joined, met: OnData) -> Arrays:
        """Items that were added say nothing of a user until the model is fitted again: their history is zero."""
        history = self._fitted()["history"]
        more = np.zeros((joined.catalogue.n_items - len(history), history.shape[1]), np.float32)
        return {**self._fitted(), "history": np.vstack([history, more])}

    # Files

    def _read(self, path: str | Path, arrays: Arrays) -> None:
        super()._read(path, arrays)
        if not any(name in arrays for name in ADJUSTING):  # of an earlier version, which chose none of it
            self.settings = self.settings.replace(length_power="0", even_exposure="0")
        self._arrays = self._parameters_of(path, arrays)

    def _parameters_of(self, source: str | Path, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        names = [
            *PARAMETERS,
            *(f"{name}{m}" for name in ("landmark", "axes") for m in range(len(self._centres))),
            *ADJUSTING,
        ]
        if not any(name in arrays for name in ADJUSTING):
            arrays = {**unadjusted(len(self._centres), np.shape(arrays.get("mean_item", 0.0))), **arrays}
        require(source, arrays, *names)
        found = {name: arrays[name] for name in names}
        check_adjusting(source, found)
        return found

    def _imputer_class(self) -> type[Imputer]:
        return MeanImputer

    # What is there after fit or load

    @property
    def _centres(self) -> dict[str, Vectors]:
        imputer = self.fitted_imputer()
        return {name: imputer.fitted[f"mean_{name}"] for name in imputer.modalities}
