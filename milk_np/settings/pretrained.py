"""Settings of models that start from tables of users and training items, learned from the pairs alone."""

from __future__ import annotations

from dataclasses import dataclass

from milk_np.settings.content import ContentSettings
from milk_np.settings.option import option

BACKBONES = ("bpr-mf", "light-gcn", "svd")


@dataclass(frozen=True)
class PretrainedSettings(ContentSettings):
    """How the frozen tables are learned.

    Rate and penalty of BPR and LightGCN were chosen for this project, without a comparison on record; usual are .001
    and .0001. What the authors of a system start from, its own file says.
    """

    # fmt: off
    dim: int = option(64, int, "model", "dimension K of the pretrained vectors", low=1, high=65536)
    backbone: str = option(
        "bpr-mf", str, "pretraining",
        "what learns the frozen tables of users and training items: BPR matrix factorisation, LightGCN, "
        "or the singular vectors of the pairs",
        choices=BACKBONES,
    )
    backbone_epochs: int = option(200, int, "pretraining", "epochs of the pretraining", low=1)
    backbone_lr: float = option(5e-3, float, "pretraining", "learning rate of Adam in the pretraining", above=0)
    backbone_reg: float = option(
        1e-2, float, "pretraining", "weight of the L2 penalty in the pretraining", low=0,
    )
    backbone_layers: int = option(2, int, "pretraining", "layers of LightGCN", low=0)
    backbone_batch_size: int = option(2048, int, "pretraining", "triplets per batch of the pretraining", low=1)
    # fmt: on
