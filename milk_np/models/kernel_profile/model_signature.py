"""Keyword arguments of KernelProfile, from the settings; `python tests/models/signatures.py` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from milk_np.models.kernel_profile.settings import KernelProfileSettings
    from milk_np.settings.shared import Settings


class KernelProfileSignature:
    """What editors and type checkers see of KernelProfile; at run time `StoredModel.__init__` takes the settings."""

    if TYPE_CHECKING:
        settings: KernelProfileSettings

        def __init__(
            self,
            settings: Settings | None = None,
            *,
            preset: Literal["best"] = "best",
            impute: Literal["zero", "mean", "map", "nearest"] = "mean",
            seed: int = 0,
            profile_width: int = 1024,
            width: int | str = "full",
            memory: int | str = "",
            landmarks: int = 1024,
            smoothing: float = 100.0,
            smoothing_rank: int = 64,
            smoothing_power: float = 0.5,
            rarity: float = 0.1,
            prior: float = 2.0,
            owned_sets: Literal["each", "whole"] = "each",
            kernel_scale: float = 1.0,
            kernel_noise: float = 0.0,
            modality_weights: Sequence[float] = (),
            whitening: Sequence[float] = (),
            length_power: float | str = "auto",
            even_exposure: float | str = "auto",
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
            preset : {best}
                short name of this model
            impute : {zero, mean, map, nearest}
                how missing modalities are imputed for the content profile that the model is compared with
            seed : int
                random seed
            profile_width : int
                maximum vector dimension
            width : int | str
                numbers of a vector that are kept: a number; auto: the least that ranks held-out training items about as
                well; full: all
            memory : int | str
                most memory of the fit on top of the data set, such as 2GB: smaller blocks, vectors on disk; not given:
                what is fastest
            landmarks : int
                number of landmarks: training items that content is compared with
            smoothing : float
                L2 penalty of the item-item regression (EASE) that smooths histories
            smoothing_rank : int
                rank of the item-item regression; 0: no smoothing
            smoothing_power : float
                the penalty grows with popularity^X; 0: same for all items
            rarity : float
                down-weight popular items of a history by popularity^-X; 0: all alike
            prior : float
                average items added to each history as a prior
            owned_sets : {each, whole}
                each: one regression per combination of modalities; whole: one regression, missing modalities at the
                mean
            kernel_scale : float
                how fast the kernel falls with the angle between two items' content
            kernel_noise : float
                L2 penalty of the regression on content; 0: chosen by ranking held-out training items
            modality_weights : Sequence[float]
                weight of each modality; if not given, chosen by leave-one-out error
            whitening : Sequence[float]
                whitening strength per modality, or one for all: 0 none, 1 full; if not given, chosen from 0, 0.5, 1 by
                ranking held-out training items
            length_power : float | str
                vectors of items are divided by (root mean square of their scores)^X; 0: not at all; auto: 0, 0.25 or
                0.5, by ranking held-out training items
            even_exposure : float | str
                how far items that lack modalities are lifted towards the places that they are chosen for: 0 not, 1 as
                far as held-out training items say; auto: 0, 0.25 or 0.5, as far as these surely rank no worse; with at
                most four modalities
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
