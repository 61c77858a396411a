"""Numbers that the paper prints, beside which the measured ones are shown (Bai et al., SIGIR 2024)."""

from __future__ import annotations

from milk_np.options import Value

PRINTED_WEIGHTS: dict[str, dict[str, Value]] = {
    "baby": {"invariance_weight": 1000.0, "align_weight": 0.05, "dirichlet_alpha": 0.01},
    "clothing": {"invariance_weight": 50.0, "align_weight": 0.05, "dirichlet_alpha": 0.1},
    "tiktok": {"invariance_weight": 50.0, "align_weight": 0.5, "dirichlet_alpha": 0.1},
}
"""By data set; alpha of TikTok is not printed and left at this program's default."""
OTHER = "clothing"
"""Whose weights stand for a data set that the paper doesn't have."""

_TABLE2: dict[str, dict[str, dict[str, tuple[float, float]]]] = {
    "baby": {
        "FTMT": {"DUIF": (0.0381, 0.0163), "MILK": (0.0628, 0.0277)},
        "MTMT": {"DUIF": (0.0308, 0.0125), "MILK": (0.0517, 0.0234)},
    },
    "clothing": {
        "FTMT": {"DUIF": (0.0318, 0.0137), "MILK": (0.0716, 0.0343)},
        "MTMT": {"DUIF": (0.0323, 0.0140), "MILK": (0.0684, 0.0329)},
    },
    "tiktok": {
        "FTMT": {"DUIF": (0.1921, 0.1803), "MILK": (0.2002, 0.1852)},
        "MTMT": {"DUIF": (0.1804, 0.1706), "MILK": (0.1884, 0.1779)},
    },
}
_TABLE3: dict[str, dict[str, tuple[float, float]]] = {
    "baby": {
        "zero": (0.0501, 0.0215),
        "w/o both": (0.0525, 0.0228),
        "map": (0.0507, 0.0220),
        "CMAM only": (0.0585, 0.0255),
        "CEIM only": (0.0609, 0.0264),
        "MILK": (0.0628, 0.0277),
    },
    "clothing": {
        "zero": (0.0670, 0.0322),
        "w/o both": (0.0665, 0.0320),
        "map": (0.0619, 0.0294),
        "CMAM only": (0.0682, 0.0330),
        "CEIM only": (0.0686, 0.0335),
        "MILK": (0.0716, 0.0343),
    },
}
_TABLE4: dict[str, dict[str, tuple[float, float]]] = {
    "baby": {
        "MILK": (0.0628, 0.0277),
        "without e = 0": (0.0433, 0.0179),
        "without cyclic shift": (0.0487, 0.0205),
        "drawn once": (0.0555, 0.0237),
    },
    "clothing": {
        "MILK": (0.0716, 0.0343),
        "without e = 0": (0.0685, 0.0333),
        "without cyclic shift": (0.0656, 0.0319),
        "drawn once": (0.0643, 0.0314),
    },
}
_LOSS: dict[str, dict[str, float]] = {
    "baby": {"w/o both": -0.3715, "w/o CMAM": -0.2768, "w/o CEIM": -0.3206, "MILK": -0.2459},
}
"""Figure 5: the share lost from FTFT to FTMT; there "CEIM" is without CMAM and "CMAM" without CEIM."""


def known(data: str) -> str | None:
    """The paper's data set that a name stands for, None if it has none."""
    return next((name for name in PRINTED_WEIGHTS if name in data.lower()), None)


def printed_weights(data: str) -> dict[str, Value]:
    """The weights that the paper prints for the data set of this name, or for its nearest relative."""
    return PRINTED_WEIGHTS[known(data) or OTHER]


def printed(experiment: str, data: str, protocol: str, label: str, metric: str) -> float | None:
    """Recall@20 or NDCG@20 in the paper; None where it prints none."""
    name = known(data)
    if name is None or metric not in ("recall@20", "ndcg@20"):
        return None
    if experiment == "table2":
        pair = _TABLE2[name].get(protocol, {}).get(label)
    else:
        table = {"table3": _TABLE3, "table4": _TABLE4, "fig4": _TABLE3}.get(experiment, {})
        pair = table.get(name, {}).get(_alias(label)) if protocol == "FTMT" else None
    return None if pair is None else pair[metric == "ndcg@20"]


def printed_loss(data: str, label: str) -> float | None:
    """The share lost from FTFT to FTMT that the paper's Figure 5 prints, as a negative number."""
    return _LOSS.get(known(data) or "", {}).get(label)


def _alias(label: str) -> str:
    """Figure 4's names for rows that table 3 prints."""
    return {"w/o CMAM": "CEIM only", "w/o CEIM": "CMAM only"}.get(label, label)
