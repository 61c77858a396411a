"""Keyword arguments of Clcrec, from the settings; `python tests/models/signatures.py` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from milk_np.models.clcrec.settings import ClcrecSettings
    from milk_np.settings.shared import Settings


class ClcrecSignature:
    """What editors and type checkers see of Clcrec; at run time `StoredModel.__init__` takes the settings."""

    if TYPE_CHECKING:
        settings: ClcrecSettings

        def __init__(
            self,
            settings: Settings | None = None,
            *,
            preset: str = "",
            dim: int = 64,
            hidden: int = 256,
            impute: Literal["zero", "mean", "map", "nearest"] = "mean",
            seed: int = 0,
            lr: float = 0.001,
            max_epochs: int = 300,
            batch_size: int = 256,
            eval_every: int = 1,
            patience: int = 10,
            reg: float = 0.001,
            content: Literal["unit", "centred", "standard"] = "unit",
            drawn: int = 128,
            mutual: float = 0.5,
            temperature: float = 2.0,
            replaced: float = 0.5,
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
            hidden : int
                hidden numbers of the encoder of content
            impute : {zero, mean, map, nearest}
                how missing modalities are imputed
            seed : int
                random seed
            lr : float
                learning rate of Adam
            max_epochs : int
                maximum number of epochs
            batch_size : int
                training pairs in a batch
            eval_every : int
                epochs between evaluations
            patience : int
                stop after this many evaluations without improvement of the validation metric; 0: never
            reg : float
                weight of the vectors' mean length
            content : {unit, centred, standard}
                rows of content: each modality at unit length; the same minus the training items' mean; or each number
                at mean 0 and deviation 1, cut at 5
            drawn : int
                training items that each pair is contrasted with
            mutual : float
                weight of the contrast between an item's own vector and contents; the rest is for the contrast between
                users and items
            temperature : float
                what both contrasts' scores are divided by
            replaced : float
                share of the candidates that a user sees by content instead of by their own vector
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
