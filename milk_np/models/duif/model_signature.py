"""Keyword arguments of Duif and DuifRaw, from the settings; `python tests/models/signatures.py` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from milk_np.models.duif.settings import DuifRawSettings, DuifSettings
    from milk_np.settings.shared import Settings


class DuifSignature:
    """What editors and type checkers see of Duif; at run time `StoredModel.__init__` takes the settings."""

    if TYPE_CHECKING:
        settings: DuifSettings

        def __init__(
            self,
            settings: Settings | None = None,
            *,
            preset: Literal["paper", "reference"] = "paper",
            dim: int = 64,
            impute: Literal["zero", "mean", "map", "nearest"] = "mean",
            seed: int = 0,
            lr: float = 0.001,
            max_epochs: int = 300,
            batch_size: int = 2048,
            eval_every: int = 10,
            patience: int = 3,
            reg: float = 0.0001,
            reg_scope: Literal["batch", "all"] = "batch",
            negatives: Literal["train", "all"] | None = None,
            negative_pool: int = 0,
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
            preset : {paper, reference}
                paper: as in the paper's text; reference: as in the authors' program
            dim : int
                dimension K of the vectors
            impute : {zero, mean, map, nearest}
                how missing modalities are imputed
            seed : int
                random seed
            lr : float
                learning rate of Adam
            max_epochs : int
                maximum number of epochs
            batch_size : int
                maximum triplets per batch
            eval_every : int
                epochs between evaluations
            patience : int
                stop after this many evaluations without improvement of the validation metric; 0: never
            reg : float
                weight of the L2 penalty
            reg_scope : {batch, all}
                what the L2 penalty covers: the batch's vectors, or all parameters
            negatives : {train, all}
                where negatives come from: training items, or all items including new ones (None: from the preset)
            negative_pool : int
                draw each batch's negatives from a random pool of this many items; faster; 0: no pool
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


class DuifRawSignature(DuifSignature):
    """What editors and type checkers see of DuifRaw; at run time `StoredModel.__init__` takes the settings."""

    if TYPE_CHECKING:
        settings: DuifRawSettings

        def __init__(
            self,
            settings: Settings | None = None,
            *,
            preset: Literal["paper", "reference"] = "paper",
            dim: int = 64,
            impute: Literal["zero", "mean", "map", "nearest"] = "mean",
            seed: int = 0,
            lr: float = 0.001,
            max_epochs: int = 300,
            batch_size: int = 2048,
            eval_every: int = 10,
            patience: int = 3,
            reg: float = 0.0001,
            reg_scope: Literal["batch", "all"] = "batch",
            negatives: Literal["train", "all"] | None = None,
            negative_pool: int = 0,
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
            preset : {paper, reference}
                paper: as in the paper's text; reference: as in the authors' program
            dim : int
                dimension K of the vectors
            impute : {zero, mean, map, nearest}
                how missing modalities are imputed
            seed : int
                random seed
            lr : float
                learning rate of Adam
            max_epochs : int
                maximum number of epochs
            batch_size : int
                maximum triplets per batch
            eval_every : int
                epochs between evaluations
            patience : int
                stop after this many evaluations without improvement of the validation metric; 0: never
            reg : float
                weight of the L2 penalty
            reg_scope : {batch, all}
                what the L2 penalty covers: the batch's vectors, or all parameters
            negatives : {train, all}
                where negatives come from: training items, or all items including new ones (None: from the preset)
            negative_pool : int
                draw each batch's negatives from a random pool of this many items; faster; 0: no pool
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
