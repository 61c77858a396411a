"""Keyword arguments of Milk, from the settings; `python tests/models/signatures.py` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from milk_np.models.milk.settings import MilkSettings
    from milk_np.settings.shared import Settings


class MilkSignature:
    """What editors and type checkers see of Milk; at run time `StoredModel.__init__` takes the settings."""

    if TYPE_CHECKING:
        settings: MilkSettings

        def __init__(
            self,
            settings: Settings | None = None,
            *,
            preset: Literal["paper", "reference"] = "paper",
            dim: int = 64,
            users: Literal["free", "profile", "both"] = "free",
            without: Sequence[Literal["cmam", "ceim"]] = (),
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
            invariance_weight: float = 1.0,
            align_weight: float = 0.05,
            dirichlet_alpha: float = 0.1,
            env_draws: int = 1,
            environments: Literal["cyclic", "no-equal", "independent", "once"] = "cyclic",
            risk: Literal["mean", "sum"] | None = None,
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
                paper: as in the paper's text; reference: as in the authors' program; best: a different model,
                kernel-profile, which was more accurate than MILK on three real data sets
            dim : int
                dimension K of the vectors
            users : {free, profile, both}
                how a user is represented: free vector, profile of their own training items, or the sum of both
            without : {cmam, ceim}
                modules to leave out: cmam (alignment), ceim (environments)
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
            invariance_weight : float
                weight of the variance of the loss across environments
            align_weight : float
                weight of the alignment between modalities
            dirichlet_alpha : float
                concentration of the Dirichlet distribution that mixes modalities; smaller: more extreme mixes
            env_draws : int
                Dirichlet draws per step
            environments : {cyclic, no-equal, independent, once}
                cyclic: equal weights, and the cyclic shifts of a draw; no-equal: the shifts only; independent:
                independent draws; once: drawn once for the whole run
            risk : {mean, sum}
                how the environments' losses are combined (None: from the preset)
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
