"""Numbers printed in the paper (Bai et al., SIGIR 2024), to compare the measured ones with."""

from __future__ import annotations

from milk_np.settings.option import Value

PRINTED_WEIGHTS: dict[str, dict[str, Value]] = {
    "baby": {"invariance_weight": 1000.0, "align_weight": 0.05, "dirichlet_alpha": 0.01},
    "clothing": {"invariance_weight": 50.0, "align_weight": 0.05, "dirichlet_alpha": 0.1},
    "tiktok": {"invariance_weight": 50.0, "align_weight": 0.5, "dirichlet_alpha": 0.1},
}
"""By data set; alpha for TikTok is not printed, so this program's default is used."""
OTHER = "clothing"
"""The data set whose weights are used for a data set that isn't in the paper."""

_TABLE2_COLUMNS = [(data, protocol) for protocol in ("FTMT", "MTMT") for data in ("baby", "clothing", "tiktok")]
_TABLE2 = {
    "DUIF": (
        *((0.0381, 0.0163), (0.0318, 0.0137), (0.1921, 0.1803)),
        *((0.0308, 0.0125), (0.0323, 0.0140), (0.1804, 0.1706)),
    ),
    "DropoutNet": (
        *((0.0208, 0.0071), (0.0269, 0.0123), (0.1276, 0.0956)),
        *((0.0227, 0.0098), (0.0254, 0.0100), (0.1169, 0.0860)),
    ),
    "MTPR": (
        *((0.0328, 0.0208), (0.0371, 0.0165), (0.1615, 0.1211)),
        *((0.0325, 0.0139), (0.0317, 0.0140), (0.1661, 0.1229)),
    ),
    "Heater": (
        *((0.0492, 0.0222), (0.0522, 0.0237), (0.1327, 0.1016)),
        *((0.0438, 0.0185), (0.0515, 0.0223), (0.1349, 0.0975)),
    ),
    "CLCRec": (
        *((0.0418, 0.0181), (0.0453, 0.0210), (0.1584, 0.1249)),
        *((0.0328, 0.0143), (0.0403, 0.0185), (0.1459, 0.1080)),
    ),
    "CCFCRec": (
        *((0.0464, 0.0209), (0.0545, 0.0259), (0.1920, 0.1802)),
        *((0.0355, 0.0154), (0.0453, 0.0207), (0.1809, 0.1596)),
    ),
    "GAR": (
        *((0.0485, 0.0210), (0.0555, 0.0255), (0.1691, 0.1173)),
        *((0.0449, 0.0196), (0.0523, 0.0232), (0.1512, 0.1004)),
    ),
    "GoRec": (
        *((0.0544, 0.0249), (0.0639, 0.0292), (0.1605, 0.1124)),
        *((0.0473, 0.0206), (0.0634, 0.0300), (0.1582, 0.0988)),
    ),
    "MILK": (
        *((0.0628, 0.0277), (0.0716, 0.0343), (0.2002, 0.1852)),
        *((0.0517, 0.0234), (0.0684, 0.0329), (0.1884, 0.1779)),
    ),
}
"""Recall@20 and NDCG@20 in the order of _TABLE2_COLUMNS."""

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
"""Figure 5: the relative change from FTFT to FTMT; there "CEIM" means without CMAM and "CMAM" without CEIM."""


def known(data: str) -> str | None:
    """The paper's data set that matches a name; None if there is none."""
    return next((name for name in PRINTED_WEIGHTS if name in data.lower()), None)


def printed_weights(data: str) -> dict[str, Value]:
    """The weights printed in the paper for the data set of this name, or those of `OTHER`."""
    return PRINTED_WEIGHTS[known(data) or OTHER]


def printed(experiment: str, data: str, protocol: str, label: str, metric: str) -> float | None:
    """Recall@20 or NDCG@20 in the paper; None if it prints none."""
    name = known(data)
    if name is None or metric not in ("recall@20", "ndcg@20"):
        return None
    if experiment == "table2":
        columns = dict(zip(_TABLE2_COLUMNS, _TABLE2.get(label, ()), strict=False))
        pair = columns.get((name, protocol))
    else:
        table = {"table3": _TABLE3, "table4": _TABLE4, "fig4": _TABLE3}.get(experiment, {})
        pair = table.get(name, {}).get(_alias(label)) if protocol == "FTMT" else None
    return None if pair is None else pair[metric == "ndcg@20"]


def printed_loss(data: str, label: str) -> float | None:
    """The relative change from FTFT to FTMT in the paper's Figure 5, a negative number."""
    return _LOSS.get(known(data) or "", {}).get(label)


def _alias(label: str) -> str:
    """Figure 4's names for rows that table 3 prints."""
    return {"w/o CMAM": "CEIM only", "w/o CEIM": "CMAM only"}.get(label, label)
