"""Keyword arguments of Gar, from the settings; `python tests/models/signatures.py` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from milk_np.models.gar.settings import GarSettings
    from milk_np.settings.shared import Settings


class GarSignature:
    """What editors and type checkers see of Gar; at run time `StoredModel.__init__` takes the settings."""

    if TYPE_CHECKING:
        settings: GarSettings

        def __init__(
            self,
            settings: Settings | None = None,
            *,
            preset: str = "",
            dim: int = 64,
            impute: Literal["zero", "mean", "map", "nearest"] = "mean",
            seed: int = 0,
            lr: float = 0.001,
            max_epochs: int = 200,
            batch_size: int = 1024,
            eval_every: int = 1,
            patience: int = 10,
            content: Literal["unit", "centred", "standard"] = "centred",
            backbone: Literal["bpr-mf", "light-gcn", "svd"] = "bpr-mf",
            backbone_epochs: int = 200,
            backbone_lr: float = 0.005,
            backbone_reg: float = 0.01,
            backbone_layers: int = 2,
            backbone_batch_size: int = 2048,
            hidden: int = 200,
            alpha: float = 0.5,
            beta: float = 0.5,
            generator_dropout: float = 0.1,
            recommender_dropout: float = 0.5,
            reg: float = 0.001,
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
                dimension K of the pretrained vectors
            impute : {zero, mean, map, nearest}
                how missing modalities are imputed
            seed : int
                random seed
            lr : float
                learning rate of Adam
            max_epochs : int
                maximum number of epochs
            batch_size : int
                triplets per batch
            eval_every : int
                epochs between evaluations
            patience : int
                stop after this many evaluations without improvement of the validation metric; 0: never
            content : {unit, centred, standard}
                rows of content: each modality at unit length; the same minus the training items' mean; or each number
                at mean 0 and deviation 1, cut at 5
            backbone : {bpr-mf, light-gcn, svd}
                what learns the frozen tables of users and training items: BPR matrix factorisation, LightGCN, or the
                singular vectors of the pairs
            backbone_epochs : int
                epochs of the pretraining
            backbone_lr : float
                learning rate of Adam in the pretraining
            backbone_reg : float
                weight of the L2 penalty in the pretraining
            backbone_layers : int
                layers of LightGCN
            backbone_batch_size : int
                triplets per batch of the pretraining
            hidden : int
                hidden width of the generator and of the recommender's towers
            alpha : float
                weight of the distance to the pretrained vectors; the rest is the adversarial loss; published: 0.05
            beta : float
                share of the drawn item, the rest of the generated one, in what the recommender ranks below a chosen
                item; published: 0.1
            generator_dropout : float
                dropout of the generator
            recommender_dropout : float
                dropout of the recommender's towers
            reg : float
                weight of half the L2 penalty on weights
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
