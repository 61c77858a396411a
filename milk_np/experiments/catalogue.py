"""The experiments of the paper, as tables of variants; Table 2 includes every registered model automatically."""

from __future__ import annotations

from collections.abc import Iterator

from milk_np.experiments.variants import Claim, Experiment, Variant
from milk_np.models import registry
from milk_np.settings.option import Value

BOTH = Variant("MILK", {})
NO_CMAM = Variant("w/o CMAM", {"without": ("cmam",)})
NO_CEIM = Variant("w/o CEIM", {"without": ("ceim",)})
NEITHER = Variant("w/o both", {"without": ("cmam", "ceim")})
PRINTED = Variant("MILK, printed weights", {}, weights="printed")
DUIF = Variant("DUIF", {"model": "duif"})
KERNEL = Variant("kernel profile", {"model": "kernel-profile"}, weights="none")

RANDOM = Variant("random order", {"model": "random"}, weights="none")
PROFILE = Variant("content profile", {"model": "profile"}, weights="none")


BEST = ("gorec", "content-knn", "clcrec")
"""The paper's systems and rivals from the best on, by Table 2 on Last.fm 2K under FTMT."""


def models() -> tuple[Variant, ...]:
    """Every registered model, what its paper or authors published of it, and MILK with the weights printed in its."""
    found = []
    for name in registry.MODELS:
        cls = registry.settings_class(name)
        settings: dict[str, Value] = {} if name == registry.DEFAULT else {"model": name}
        found.append(Variant(cls.title, settings, weights="tuned" if cls.searched else "none"))
        found += [Variant(label, {"model": name, **values}, weights="none") for label, values in cls.published.items()]
    return (*found, PRINTED)


def best_baselines() -> tuple[Variant, ...]:
    """The first two of BEST that are registered, tuned."""
    found = [name for name in BEST if name in registry.MODELS][:2]
    return tuple(Variant(registry.settings_class(name).title, {"model": name}) for name in found)


ABLATION = (RANDOM, NEITHER, NO_CMAM, NO_CEIM, BOTH)


def _filled(label: str, impute: str, base: Variant = NEITHER) -> Variant:
    return Variant(label, {**base.settings, "impute": impute})


def _kernel(label: str, setting: str, value: Value) -> Variant:
    """The kernel profile with one setting changed."""
    return Variant(label, {**KERNEL.settings, setting: value}, weights="none")


def _sweep(setting: str, values: tuple[float, ...], symbol: str) -> tuple[Variant, ...]:
    return tuple(Variant(f"{symbol} = {value:g}", {}, sweep=(setting, _value(value))) for value in values)


def _value(value: float) -> Value:
    return float(value)


TABLE3 = Experiment(
    "table3",
    "Table 3: imputation against the two modules",
    "Imputation without either module (zero, mean, learned map), each module alone, and both; imputed with the mean "
    "unless stated.",
    "models",
    ("FTMT",),
    (
        RANDOM,
        _filled("zero", "zero"),
        NEITHER,
        _filled("map", "map"),
        Variant("CMAM only", NO_CEIM.settings),
        Variant("CEIM only", NO_CMAM.settings),
        BOTH,
    ),
    baseline="w/o both",
)
TABLE4 = Experiment(
    "table4",
    "Table 4: how environments are made",
    "Equal weights and cyclic shifts of one draw (MILK); without e = 0; independent draws instead of shifts; one draw "
    "for the whole run; no environments at all.",
    "models",
    ("FTMT",),
    (
        RANDOM,
        Variant("without e = 0", {"environments": "no-equal"}),
        Variant("without cyclic shift", {"environments": "independent"}),
        Variant("drawn once", {"environments": "once"}),
        NO_CEIM,
        BOTH,
    ),
    baseline="MILK",
)
FIG4 = Experiment(
    "fig4",
    "Figure 4: ablation",
    "Without the alignment (CMAM), without the environments (CEIM), without both; each tuned on its own.",
    "models",
    ("FTMT", "MTMT"),
    ABLATION,
    baseline="w/o both",
)
FIG5 = Experiment(
    "fig5",
    "Figure 5: complete compared with missing",
    "The same variants on complete new items (FTFT) and on new items of which half miss a modality (FTMT), and the "
    "relative change.",
    "protocols",
    ("FTFT", "FTMT"),
    (*ABLATION, KERNEL),
)
FIG6 = Experiment(
    "fig6",
    "Figure 6: sensitivity",
    "One setting varied at a time, the others at their tuned values.",
    "sweep",
    ("FTMT",),
    (
        BOTH,
        *_sweep("dirichlet_alpha", (0.01, 0.1, 1, 10, 100), "α"),
        *_sweep("invariance_weight", (0, 0.1, 1, 10, 50), "β"),
        *_sweep("align_weight", (0, 0.01, 0.1, 1), "λ"),
    ),
    baseline="MILK",
)
BEYOND = Experiment(
    "beyond",
    "Beyond the paper: users represented by the items they chose",
    "MILK with free vectors and with profiles of users' own items; the kernel profile, which isn't tuned; and the "
    "kernel profile with one part changed: histories not smoothed, or with the same L2 penalty for all items; missing "
    "modalities imputed with the mean instead of one regression per combination of modalities; no whitening; no "
    "down-weighting of popular items; almost no prior; an almost linear kernel; shorter vectors; fewer landmarks.",
    "models",
    ("FTMT", "MTMT"),
    (
        RANDOM,
        PROFILE,
        BOTH,
        Variant("MILK, users: profile", {"users": "profile"}),
        Variant("MILK, users: both", {"users": "both"}),
        KERNEL,
        _kernel("without smoothing", "smoothing_rank", 0),
        _kernel("imputed with the mean", "owned_sets", "whole"),
        _kernel("without whitening", "whitening", (0.0,)),
        _kernel("same L2 penalty for all", "smoothing_power", 0.0),
        _kernel("no down-weighting", "rarity", 0.0),
        _kernel("almost no prior", "prior", 0.001),
        _kernel("almost linear kernel", "kernel_scale", 0.01),
        _kernel("64-dimensional vectors", "profile_width", 64),
        _kernel("256 landmarks", "landmarks", 256),
    ),
    baseline="kernel profile",
)


def fig1() -> Experiment:
    """Figure 1, with the two best baselines."""
    return Experiment(
        "fig1",
        "Figure 1: what missing modalities cost",
        "Each model on complete data, with modalities missing in training and test, and in test only.",
        "protocols",
        ("FTFT", "MTMT", "FTMT"),
        (RANDOM, DUIF, *best_baselines(), BOTH),
    )


def table2() -> Experiment:
    """Table 2, with every registered model."""
    return Experiment(
        "table2",
        "Table 2: all models",
        "Every model under both protocols, each with settings found by the same number of trials on validation items; "
        "rows that say so have settings that the model's authors published, and aren't tuned.",
        "models",
        ("FTMT", "MTMT"),
        models(),
    )


def fig3() -> Experiment:
    """Figure 3, with every registered model."""
    return Experiment(
        "fig3",
        "Figure 3: items that miss none, one or two modalities",
        "10 % of the new items are complete, 45 % miss one modality and 45 % two; by group of items. Rows that say so "
        "have settings that the model's authors published, and aren't tuned.",
        "groups",
        ("FTMT",),
        models(),
        modalities=3,
        mix=(0.10, 0.45, 0.45),
        metrics=("ndcg@20",),
    )


def experiments() -> dict[str, Experiment]:
    """Every experiment by its name; those of all models include all that are registered at the time of the call."""
    return {each.name: each for each in (fig1(), table2(), fig3(), TABLE3, TABLE4, FIG4, FIG5, FIG6, BEYOND)}


PAPER_BASELINES = ("CCFCRec", "CLCRec", "DropoutNet", "GAR", "GoRec", "Heater", "MICRO", "MTPR")
"""Titles of the systems that the paper's Table 2 has below MILK, besides DUIF, which the claims name on their own."""


def order_of_the_paper() -> Iterator[Claim]:
    """That MILK is ahead of each of them, under both protocols."""
    for title in PAPER_BASELINES:
        yield Claim(f"MILK beats {title}", "table2", "FTMT", "MILK", title)
        yield Claim(f"MILK beats {title}, also with missing training modalities", "table2", "MTMT", "MILK", title)


CLAIMS = (
    Claim("the alignment helps when test items miss modalities", "fig4", "FTMT", "w/o CEIM", "w/o both"),
    Claim("the environments help when test items miss modalities", "fig4", "FTMT", "w/o CMAM", "w/o both"),
    Claim("both modules together beat neither", "fig4", "FTMT", "MILK", "w/o both"),
    Claim("the alignment adds to the environments", "fig4", "FTMT", "MILK", "w/o CMAM"),
    Claim("the environments add to the alignment", "fig4", "FTMT", "MILK", "w/o CEIM"),
    Claim(
        "both modules together beat neither, also with missing training modalities", "fig4", "MTMT", "MILK", "w/o both"
    ),
    Claim("both modules reduce the loss from missing modalities", "fig5", "FTMT", "MILK", "w/o both", loss="FTFT"),
    Claim("cyclic mixing beats leaving e = 0 out", "table4", "FTMT", "MILK", "without e = 0"),
    Claim("cyclic mixing beats independent draws", "table4", "FTMT", "MILK", "without cyclic shift"),
    Claim("cyclic mixing beats one draw for the run", "table4", "FTMT", "MILK", "drawn once"),
    Claim("a learned map is no better than the mean", "table3", "FTMT", "map", "w/o both", same=True),
    Claim("a learned map alone falls behind both modules", "table3", "FTMT", "MILK", "map"),
    Claim("MILK beats DUIF", "table2", "FTMT", "MILK", "DUIF"),
    Claim("MILK beats DUIF, also with missing training modalities", "table2", "MTMT", "MILK", "DUIF"),
    *order_of_the_paper(),
    Claim("MILK beats the content profile, which needs no training", "table2", "FTMT", "MILK", "content profile"),
    Claim("the kernel profile beats MILK", "table2", "FTMT", "kernel profile", "MILK"),
    Claim(
        "the kernel profile beats MILK, also with missing training modalities",
        "table2",
        "MTMT",
        "kernel profile",
        "MILK",
    ),
    Claim("the kernel profile beats the content profile", "table2", "FTMT", "kernel profile", "content profile"),
    Claim(
        "the kernel profile beats the content profile, also with missing training modalities",
        "table2",
        "MTMT",
        "kernel profile",
        "content profile",
    ),
    Claim("the kernel profile beats most similar content", "table2", "FTMT", "kernel profile", "most similar content"),
    Claim("MILK beats SVD + ridge", "table2", "FTMT", "MILK", "SVD + ridge"),
    Claim("the kernel profile beats SVD + ridge", "table2", "FTMT", "kernel profile", "SVD + ridge"),
    Claim("the kernel profile beats content kNN", "table2", "FTMT", "kernel profile", "content kNN"),
    Claim("the kernel profile loses less than MILK", "fig5", "FTMT", "kernel profile", "MILK", loss="FTFT"),
    Claim("tuned weights beat the printed ones", "table2", "FTMT", "MILK", "MILK, printed weights"),
)
