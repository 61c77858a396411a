"""Keyword arguments of DropoutNet, from the settings; `python tests/models/signatures.py` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from milk_np.models.dropoutnet.settings import DropoutNetSettings
    from milk_np.settings.shared import Settings


class DropoutNetSignature:
    """What editors and type checkers see of DropoutNet; at run time `StoredModel.__init__` takes the settings."""

    if TYPE_CHECKING:
        settings: DropoutNetSettings

        def __init__(
            self,
            settings: Settings | None = None,
            *,
            preset: str = "",
            dim: int = 64,
            impute: Literal["zero", "mean", "map", "nearest"] = "mean",
            seed: int = 0,
            lr: float = 0.02,
            max_epochs: int = 100,
            batch_size: int = 1024,
            eval_every: int = 1,
            patience: int = 10,
            momentum: float = 0.9,
            lr_decay: float = 0.1,
            content: Literal["unit", "centred", "standard"] = "standard",
            backbone: Literal["bpr-mf", "light-gcn", "svd"] = "bpr-mf",
            backbone_epochs: int = 200,
            backbone_lr: float = 0.005,
            backbone_reg: float = 0.01,
            backbone_layers: int = 2,
            backbone_batch_size: int = 2048,
            hidden: int = 200,
            item_dropout: float = 0.5,
            user_dropout: float = 0.0,
            top_items: int = 100,
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
                learning rate of momentum descent; published: 0.005 at 100 rows
            max_epochs : int
                maximum number of epochs, each a tenth of all users' items
            batch_size : int
                users with an item in a batch
            eval_every : int
                epochs between evaluations
            patience : int
                stop after this many evaluations without improvement of the validation metric; 0: never
            momentum : float
                share of the last step that is kept
            lr_decay : float
                factor of the learning rate every 100,000 users
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
                hidden width of the towers
            item_dropout : float
                share of a batch's rows whose pretrained item vector is zeroed
            user_dropout : float
                share of a batch's rows whose pretrained user vector is zeroed; published: 0.5
            top_items : int
                items with the highest pretrained score that a user learns from, and as many random ones; published:
                2500
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
