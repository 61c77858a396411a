"""GoRec for the contract tests: a problem for each of its divergences."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from cases import Case, Problem, Sizes, Tables, content

from milk_np.kernels import cpu
from milk_np.models.gorec.model import initial
from milk_np.models.gorec.objective import LEARNED
from milk_np.models.gorec.settings import DIVERGENCES
from milk_np.nn.adam import Adam
from milk_np.nn.dropout import dropout_forward

DROP, LR = (0.3, 0, "gorec-dropout", 1, 2), 0.01
UNIFORMITY, DIVERGENCE = 0.7, 0.6


def problems(module: ModuleType, s: Sizes) -> list[Problem]:
    """The encoder sees other vectors than the target."""
    start = initial(s.width, s.K, s.seed)
    x = content(s, s.B)
    batch = module.Batch(x, *(s.normal(s.B, s.K) for _ in range(4)), DROP)
    return [
        _problem(module, {name: moved(s, name, table) for name, table in start.items()}, batch, kind)
        for kind in DIVERGENCES
    ]


def moved(s: Sizes, name: str, table: Any) -> Any:
    """A table away from its start; running variances stay above 0."""
    return table.astype(s.dtype) if name.endswith("_var") else table + s.normal(*table.shape, scale=0.3)


def _problem(module: ModuleType, tables: Tables, batch: Any, kind: str) -> Problem:
    weights = module.Weights(UNIFORMITY, DIVERGENCE, kind)

    def theirs(t: Mapping[str, Any]) -> Any:
        import torch
        from torch.nn import functional

        x, v, seen, noise, prior_noise = (torch.tensor(array) for array in batch[:5])
        dropped = torch.tensor(dropout_forward(batch.x, *batch.drop)[0])

        def normed(x: Any, part: str) -> Any:
            running = (t[f"{part}_mean"], t[f"{part}_var"], t[f"{part}_gamma"], t[f"{part}_beta"])
            return torch.tanh(functional.batch_norm(x, *running, training=True))

        h = normed(torch.cat([x, seen], 1) @ t["We"], "e")
        mean, logvar = h @ t["Wm"] + t["bm"], h @ t["Ws"] + t["bs"]
        prior_mean, prior_logvar = x @ t["Wpm"] + t["bpm"], x @ t["Wps"] + t["bps"]
        z, other = mean + (logvar / 2).exp() * noise, prior_mean + (prior_logvar / 2).exp() * prior_noise
        made = (normed(torch.cat([dropped, z], 1) @ t["Wd"], "d") @ t["W1"] + t["b1"]) @ t["W2"] + t["b2"]
        spread = torch.pdist(functional.normalize(mean)).pow(2).mul(-2).exp().mean().log()
        apart = their_divergence((mean, logvar), (prior_mean, prior_logvar), z, other, kind)
        return functional.mse_loss(made, v) + UNIFORMITY * spread + DIVERGENCE * apart

    return Problem(tables, lambda t: module.objective(t, batch, weights), theirs)


def their_divergence(posterior: Any, prior: Any, z: Any, other: Any, kind: str) -> Any:
    import torch
    from torch.nn import functional

    if kind == "gaussian":
        pair = (torch.distributions.Normal(mean, (logvar / 2).exp()) for mean, logvar in (posterior, prior))
        return torch.distributions.kl_divergence(*pair).sum(1).mean()
    if kind == "softmax":
        return (
            functional.kl_div(functional.log_softmax(z, 1), functional.softmax(other, 1), reduction="sum") / z.numel()
        )
    positive = other > 0
    return (other * (other.clamp(min=1e-30).log() - z))[positive].sum() / z.numel()


def optimisers(tables: Tables) -> list[Any]:
    return [Adam({name: tables[name] for name in LEARNED}, LR, kernels=cpu) for _ in DIVERGENCES]


def their_optimisers(tensors: Mapping[str, Any]) -> list[Any]:
    import torch

    return [torch.optim.Adam([tensors[name] for name in LEARNED], LR) for _ in DIVERGENCES]


PLANTED = [
    ("batch_norm_backward(tanh_backward(dout, tanh), normed)", "batch_norm_backward(dout, normed)"),
    ("{W: dW, ", "{W: 2 * dW, "),
    ('_gamma": dgamma', '_gamma": -dgamma'),
    ('_beta": dbeta', '_beta": 2 * dbeta'),
    ("_normed_backward(dh + more, of_h,", "_normed_backward(dh, of_h,"),
    ("_normed_backward(dh + more, of_h,", "_normed_backward(more, of_h,"),
    ('"Wm": dWm', '"Wm": -dWm'),
    ('"bm": dbm', '"bm": dbs'),
    ('"Ws": dWs', '"Ws": dWm'),
    ('"bs": dbs', '"bs": 2 * dbs'),
    ('"Wpm": dWpm', '"Wpm": -dWpm'),
    ('"bpm": dbpm', '"bpm": 2 * dbpm'),
    ('"Wps": dWps', '"Wps": dWpm'),
    ('"bps": dbps', '"bps": -dbps'),
    ('"W1": dW1', '"W1": -dW1'),
    ('"b1": db1', '"b1": db2'),
    ('"W2": dW2', '"W2": 2 * dW2'),
    ('"b2": db2', '"b2": db1'),
    ("    return dz, gradients |", "    return dz[::-1], gradients |"),
    ("squared_error_backward(1.0, of_error)", "squared_error_backward(2.0, of_error)"),
    ("dmean + dspread + dposterior[0]", "dmean + dposterior[0]"),
    ("dmean + dspread + dposterior[0]", "dmean + dspread"),
    ("dmean + dspread + dposterior[0]", "dspread + dposterior[0]"),
    ("dlogvar + dposterior[1]", "dlogvar"),
    ("dlogvar + dposterior[1]", "dposterior[1]"),
    ("uniformity_backward(weight, of_value), of_unit", "uniformity_backward(1.0, of_value), of_unit"),
    ("row_norm_backward(uniformity_backward(weight, of_value), of_unit)",
     "uniformity_backward(weight, of_value)"),
    ("gaussian_kl_backward(weight, cache)", "gaussian_kl_backward(1.0, cache)"),
    ("(dmean, dlogvar), (dprior_mean, dprior_logvar)", "(dmean, dlogvar), (dmean, dprior_logvar)"),
    ("(dmean, dlogvar), (dprior_mean, dprior_logvar)", "(dmean, dlogvar), (dprior_mean, dlogvar)"),
    ("back if dz is None else back + dz", "back"),
    ("softmax_kl_backward(share, cache)", "softmax_kl_backward(weight, cache)"),
    ("return share * value, dz, (0, 0), reparametrise_backward(dsample, of_sample)\n\n\ndef",
     "return share * value, dz, (0, 0), reparametrise_backward(-dsample, of_sample)\n\n\ndef"),
    ("dz = -share * xp.where(positive, sample, 0)", "dz = -share * sample"),
    ("dsample = share * xp.where(positive, log + 1 - z, 0)",
     "dsample = share * xp.where(positive, log - z, 0)"),
    ("dsample = share * xp.where(positive, log + 1 - z, 0)", "dsample = share * (log + 1 - z)"),
]  # fmt: skip

CASE = Case(
    name="gorec",
    options={"dim": 8, "max_epochs": 4, "batch_size": 24, "backbone_epochs": 3, "lr": 0.01, "clusters": 6},
    objective="milk_np.models.gorec.objective",
    problems=problems,
    planted=PLANTED,
    optimisers=optimisers,
    their_optimisers=their_optimisers,
    accurate={"max_epochs": 40, "eval_every": 10, "dim": 16, "lr": 0.001, "batch_size": 64, "backbone_epochs": 40},
)
