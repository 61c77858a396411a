"""Keyword arguments of Marec, from the settings; `python tests/models/signatures.py` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from milk_np.models.closed_form.settings import MarecSettings
    from milk_np.settings.shared import Settings


class MarecSignature:
    """What editors and type checkers see of Marec; at run time `StoredModel.__init__` takes the settings."""

    if TYPE_CHECKING:
        settings: MarecSettings

        def __init__(
            self,
            settings: Settings | None = None,
            *,
            preset: str = "",
            impute: Literal["zero", "mean", "map", "nearest"] = "mean",
            seed: int = 0,
            content: Literal["unit", "centred", "raw-centred"] = "centred",
            marec_penalty: float = 100.0,
            modality_scale: Literal["owned", "plain"] = "owned",
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
            impute : {zero, mean, map, nearest}
                how missing modalities are imputed
            seed : int
                random seed
            content : {unit, centred, raw-centred}
                rows of content: each modality at unit length; the same minus the mean; or less the mean, then at unit
                length
            marec_penalty : float
                L2 penalty of the item-item regression over 1 + weight of the alignment
            modality_scale : {owned, plain}
                owned: similarities scaled up where an item lacks modalities; plain: as they are
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
