"""Keyword arguments of Micro, from the settings; `python tests/models/signatures.py` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from milk_np.models.micro.settings import MicroSettings
    from milk_np.settings.shared import Settings


class MicroSignature:
    """What editors and type checkers see of Micro; at run time `StoredModel.__init__` takes the settings."""

    if TYPE_CHECKING:
        settings: MicroSettings

        def __init__(
            self,
            settings: Settings | None = None,
            *,
            preset: str = "",
            dim: int = 64,
            impute: Literal["zero", "mean", "map", "nearest"] = "mean",
            seed: int = 0,
            lr: float = 0.001,
            max_epochs: int = 300,
            batch_size: int = 1024,
            eval_every: int = 1,
            patience: int = 10,
            contrast: float = 0.03,
            reg: float = 1e-05,
            content: Literal["unit", "centred", "standard"] = "unit",
            neighbours: int = 10,
            layers: int = 2,
            temperature: float = 0.5,
            valid_metric: str = "ndcg@10",
            topk: Sequence[int] = (10, 20),
            candidates: Literal["all", "split"] = "all",
            device: Literal["cpu", "gpu", "auto"] = "cpu",
            threads: int = 0,
            log_every: int = 0,
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
            lr : float
                learning rate of Adam at first
            max_epochs : int
                maximum number of epochs
            batch_size : int
                users in a batch, one pair and one negative each
            eval_every : int
                epochs between evaluations
            patience : int
                stop after this many evaluations without improvement of the validation metric; 0: never
            contrast : float
                weight of the contrast between each modality and their fusion
            reg : float
                weight of the L2 penalty on a batch's vectors
            content : {unit, centred, standard}
                rows of content: each modality at unit length; the same minus the training items' mean; or each number
                at mean 0 and deviation 1, cut at 5
            neighbours : int
                training items that an item is linked to in each modality
            layers : int
                layers of the graph between users and items
            temperature : float
                what the contrast's cosines are divided by
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
            log_every : int
                steps between loss readings; 0: once per epoch
            """
            ...
