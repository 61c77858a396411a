"""Keyword arguments of IalsRidge, from the settings; `python tests/models/signatures.py` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from milk_np.models.closed_form.settings import IalsRidgeSettings
    from milk_np.settings.shared import Settings


class IalsRidgeSignature:
    """What editors and type checkers see of IalsRidge; at run time `StoredModel.__init__` takes the settings."""

    if TYPE_CHECKING:
        settings: IalsRidgeSettings

        def __init__(
            self,
            settings: Settings | None = None,
            *,
            preset: str = "",
            dim: int = 64,
            impute: Literal["zero", "mean", "map", "nearest"] = "mean",
            seed: int = 0,
            content: Literal["unit", "centred", "raw-centred"] = "centred",
            content_ridge: float = 3.0,
            drop_weight: float = 1.0,
            als_confidence: float = 3.0,
            als_penalty: float = 10.0,
            als_power: float = 0.0,
            als_sweeps: int = 10,
            valid_metric: str = "ndcg@10",
            topk: Sequence[int] = (10, 20),
            candidates: Literal["all", "split"] = "all",
            device: Literal["cpu", "gpu", "auto"] = "cpu",
            threads: int = 0,
        ) -> None:
            """Settings by name; they change `settings` where that is given, too.

            Parameters
            ----------
            settings : settings of the model to start from
            preset : str
                named group of settings
            dim : int
                dimension K of the vectors
            impute : {zero, mean, map, nearest}
                how missing modalities are imputed
            seed : int
                random seed
            content : {unit, centred, raw-centred}
                rows of content: each modality at unit length; the same minus the mean; or less the mean, then at unit
                length
            content_ridge : float
                L2 penalty of the regression on content
            drop_weight : float
                weight of each copy of a training item that lacks one modality; 0: no copies
            als_confidence : float
                weight alpha of a training pair on top of the 1 that any pair has
            als_penalty : float
                L2 penalty of the vectors
            als_power : float
                the penalty grows with (row's weight / mean)^X; 0: same for all
            als_sweeps : int
                sweeps over users and items
            valid_metric : str
                validation metric that picks the best epoch
            topk : Sequence[int]
                list lengths K to evaluate
            candidates : {all, split}
                items to rank: all new items, or only those of the evaluated split
            device : {cpu, gpu, auto}
                device to compute on
            threads : int
                number of threads; 0: all cores available to this process
            """
            ...
