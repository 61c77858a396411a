"""Every block of the library on small random inputs: what the proofs on both devices run.

A case is a list of variables (float64, on the host) and a call, which takes them as arrays of a device and gives
the output and a function from its gradient to those of the variables, in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import scipy.sparse

from milk_np.nn.gradcheck import TOLERANCE, check_direction, check_elements

MODULES = (
    "activations", "batch_norm", "contrastive", "dropout", "embedding", "experts", "fusion", "gaussian", "graph",
    "linear", "losses", "margins", "row_norm", "softmax", "switch",
)  # fmt: skip
REDUCTIONS = ("mean", "sum", "none")


def library(**replaced: ModuleType) -> SimpleNamespace:
    """The modules of `milk_np.nn` by name, some of them replaced by others."""
    return SimpleNamespace(**{name: import_module(f"milk_np.nn.{name}") for name in MODULES} | replaced)


def planted(module: str, old: str, new: str) -> ModuleType:
    """A module of `milk_np.nn` with `old`, which stands in it exactly once, replaced by `new`."""
    original = import_module(f"milk_np.nn.{module}")
    source = Path(original.__file__).read_text()
    assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {module}.py, not once"
    wrong = ModuleType(original.__name__)
    exec(compile(source.replace(old, new), original.__file__, "exec"), wrong.__dict__)
    return wrong


@dataclass
class Sizes:
    """Random inputs of a case; `put` moves constants to the device, `kernels` are the engine's for it."""

    seed: int = 0
    n: int = 4
    D: int = 3
    K: int = 3
    scale: float = 1.0
    reduction: str = "mean"
    full: bool = True  # False: nothing owned, counted or kept
    put: Callable = np.asarray
    kernels: str = "reference"
    xp: ModuleType = np
    dtype: type = np.float64
    rng: np.random.Generator = field(init=False)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def normal(self, *shape, scale=None):
        return self.rng.standard_normal(shape) * (self.scale if scale is None else scale)

    def away(self, *shape):
        """Normal numbers that keep away from 0, where some functions have a kink."""
        x = self.normal(*shape)
        return x + np.copysign(0.05, x)

    def ids(self, count, below):
        return self.put(self.rng.integers(0, max(1, below), count).astype(np.int32))

    def mask(self, *shape):
        return self.put((self.rng.random(shape) < 0.6) & self.full)


BLOCKS: dict[str, Callable] = {}
"""By name `module.block`: a function of the library and the sizes to the variables and the call."""


def block(module):
    return lambda make: BLOCKS.setdefault(f"{module}.{make.__name__}", make)


@block("linear")
def linear(nn, s):
    def call(x, W, b):
        out, cache = nn.linear.linear_forward(x, W, b)
        return out, lambda dout: nn.linear.linear_backward(dout, cache)

    return [s.normal(s.n, s.D), s.normal(s.D, s.K), s.normal(s.K)], call


@block("linear")
def linear_without_bias(nn, s):
    def call(x, W):
        out, cache = nn.linear.linear_forward(x, W)
        return out, lambda dout: nn.linear.linear_backward(dout, cache)[:2]

    return [s.normal(s.n, s.D), s.normal(s.D, s.K)], call


@block("linear")
def linear_rows(nn, s):
    kernels, R = import_module(f"milk_np.kernels.{s.kernels}"), s.n + 2
    source = np.where(s.rng.random(R) < 0.7, np.arange(R), -1).astype(np.int32)
    raw, fill, scale = (s.normal(*shape, scale=1).astype(np.float32) for shape in ((R, s.D), (1, s.D), (R,)))
    table, ids = tuple(map(s.put, (raw, fill, source, scale))), s.ids(s.n, R)

    def call(W, b):
        out, cache = nn.linear.linear_rows_forward(kernels, table, ids, s.xp.ascontiguousarray(W), b)
        return out, lambda dout: nn.linear.linear_rows_backward(dout, cache)

    return [s.normal(s.D, s.K), s.normal(s.K)], call


@block("linear")
def concat(nn, s):
    def call(*parts):
        out, cache = nn.linear.concat_forward(list(parts))
        return out, lambda dout: nn.linear.concat_backward(dout, cache)

    return [s.normal(s.n, s.D), s.normal(s.n, s.K), s.normal(s.n, 1)], call


@block("embedding")
def embedding(nn, s):
    ids = s.ids(2 * s.n, s.n)
    ids[s.rng.integers(0, 2 * s.n + 1) :][:1] = -1

    def call(table):
        out, cache = nn.embedding.embedding_forward(table, ids)
        return out, lambda dout: nn.embedding.embedding_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


@block("embedding")
def embedding_rows(nn, s):
    ids = s.ids(2 * s.n, s.n)
    ids[s.rng.integers(0, 2 * s.n + 1) :][:1] = -1

    def call(table):
        out, cache = nn.embedding.embedding_forward(table, ids)

        def back(dout):
            gradient, dense = nn.embedding.embedding_backward_rows(dout, cache), s.xp.zeros_like(table)
            dense[gradient.ids[gradient.ids >= 0]] = gradient.values[gradient.ids >= 0]
            return dense

        return out, back

    return [s.normal(s.n, s.K)], call


def _elementwise(name):
    def make(nn, s):
        def call(x):
            out, cache = getattr(nn.activations, f"{name}_forward")(x)
            return out, lambda dout: getattr(nn.activations, f"{name}_backward")(dout, cache)

        return [s.away(s.n, s.K)], call

    make.__name__ = name
    return make


for name in ("tanh", "sigmoid", "softplus", "leaky_relu"):
    block("activations")(_elementwise(name))


def _batch_norm(train):
    def make(nn, s):
        mean, var = s.normal(s.K, scale=1), 1 + s.rng.random(s.K)

        def call(x, gamma, beta):
            running = nn.batch_norm.Running(*(s.put(v.astype(s.dtype)) for v in (mean, var)), eps=1e-3)
            out, cache = nn.batch_norm.batch_norm_forward(x, gamma, beta, running, train=train)
            return out, lambda dout: nn.batch_norm.batch_norm_backward(dout, cache)

        return [s.normal(s.n, s.K, scale=1), s.normal(s.K), s.normal(s.K)], call

    make.__name__ = "train" if train else "evaluate"
    return make


block("batch_norm")(_batch_norm(True))
block("batch_norm")(_batch_norm(False))


@block("batch_norm")
def plain(nn, s):
    def call(x):
        running = nn.batch_norm.Running.start(s.K, s.dtype, s.xp)
        out, cache = nn.batch_norm.batch_norm_forward(x, None, None, running, train=True)
        return out, lambda dout: nn.batch_norm.batch_norm_backward(dout, cache)[0]

    x = s.normal(s.n, s.K, scale=0.1)
    return [x + np.arange(s.n)[:, None]], call


@block("dropout")
def dropout(nn, s):
    def call(x):
        out, cache = nn.dropout.dropout_forward(x, 0.4, s.seed, "hidden", 3, s.n)
        return out, lambda dout: nn.dropout.dropout_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


@block("row_norm")
def row_norm(nn, s):
    def call(x):
        out, cache = nn.row_norm.row_norm_forward(x, 1e-3)
        return out, lambda dout: nn.row_norm.row_norm_backward(dout, cache)

    x = s.away(s.n, s.K)
    x[s.rng.random(s.n) < 0.2] = 0
    return [x], call


@block("margins")
def row_dot(nn, s):
    def call(a, b):
        out, cache = nn.margins.row_dot_forward(a, b)
        return out, lambda dout: nn.margins.row_dot_backward(dout, cache)

    return [s.normal(s.n, s.K), s.normal(s.n, s.K)], call


@block("margins")
def margin(nn, s):
    def call(user, better, worse):
        out, cache = nn.margins.margin_forward(user, better, worse)
        return out, lambda dout: nn.margins.margin_backward(dout, cache)

    return [s.normal(s.n, s.K) for _ in range(3)], call


@block("margins")
def candidate_dot(nn, s):
    def call(query, candidates):
        out, cache = nn.margins.candidate_dot_forward(query, candidates)
        return out, lambda dout: nn.margins.candidate_dot_backward(dout, cache)

    return [s.normal(s.n, s.K), s.normal(s.n, s.D, s.K)], call


@block("margins")
def all_dot(nn, s):
    def call(a, b):
        out, cache = nn.margins.all_dot_forward(a, b)
        return out, lambda dout: nn.margins.all_dot_backward(dout, cache)

    return [s.normal(s.n, s.K), s.normal(s.D, s.K)], call


@block("losses")
def bpr(nn, s):
    def call(margins):
        out, cache = nn.losses.bpr_forward(margins, s.reduction)
        return out, lambda dout: nn.losses.bpr_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


def _error(name):
    def make(nn, s):
        def call(a, b):
            out, cache = getattr(nn.losses, f"{name}_forward")(a, b, s.reduction)
            return out, lambda dout: getattr(nn.losses, f"{name}_backward")(dout, cache)

        b = s.normal(s.n, s.K)
        return [b + s.away(s.n, s.K), b], call

    make.__name__ = name
    return make


block("losses")(_error("squared_error"))
block("losses")(_error("absolute_error"))


def _rows(name):
    def make(nn, s):
        def call(x):
            out, cache = getattr(nn.losses, f"{name}_forward")(x, s.reduction)
            return out, lambda dout: getattr(nn.losses, f"{name}_backward")(dout, cache)

        return [s.away(s.n, s.K)], call

    make.__name__ = name
    return make


block("losses")(_rows("square"))
block("losses")(_rows("length"))


@block("softmax")
def softmax(nn, s):
    counted = s.mask(s.n, s.K)

    def call(x):
        out, cache = nn.softmax.softmax_forward(x, counted)
        return out, lambda dout: nn.softmax.softmax_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


@block("softmax")
def softmax_of_columns(nn, s):
    def call(x):
        out, cache = nn.softmax.softmax_forward(x, axis=0)
        return out, lambda dout: nn.softmax.softmax_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


@block("softmax")
def mix(nn, s):
    def call(shares, parts):
        out, cache = nn.softmax.mix_forward(shares, parts)
        return out, lambda dout: nn.softmax.mix_backward(dout, cache)

    return [s.normal(s.n, s.D), s.normal(s.D, s.n, s.K)], call


@block("contrastive")
def nce(nn, s):
    def call(scores):
        out, cache = nn.contrastive.nce_forward(scores, 0.7, reduction=s.reduction)
        return out, lambda dout: nn.contrastive.nce_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


@block("contrastive")
def nce_of_some(nn, s):
    positive, counted = s.ids(s.n, s.K), s.mask(s.n, s.K)

    def call(scores):
        keywords = {"positive": positive, "counted": counted, "reduction": s.reduction}
        out, cache = nn.contrastive.nce_forward(scores, 0.7, **keywords)
        return out, lambda dout: nn.contrastive.nce_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


def _info_nce(within):
    def make(nn, s):
        def call(a, b):
            out, cache = nn.contrastive.info_nce_forward(a, b, 0.5, within=within, reduction=s.reduction)
            return out, lambda dout: nn.contrastive.info_nce_backward(dout, cache)

        return [s.normal(s.n, s.K, scale=1), s.normal(s.n, s.K, scale=1)], call

    make.__name__ = "info_nce_within" if within else "info_nce"
    return make


block("contrastive")(_info_nce(False))
block("contrastive")(_info_nce(True))


@block("contrastive")
def uniformity(nn, s):
    def call(x):
        out, cache = nn.contrastive.uniformity_forward(x, 1.5)
        return out, lambda dout: nn.contrastive.uniformity_backward(dout, cache)

    return [s.normal(s.n, s.K, scale=1)], call


@block("gaussian")
def gaussian_kl(nn, s):
    def call(*four):
        out, cache = nn.gaussian.gaussian_kl_forward(*four, s.reduction)
        return out, lambda dout: nn.gaussian.gaussian_kl_backward(dout, cache)

    return [s.normal(s.n, s.K, scale=1) for _ in range(4)], call


@block("gaussian")
def standard_kl(nn, s):
    def call(mean, logvar):
        out, cache = nn.gaussian.standard_kl_forward(mean, logvar, s.reduction)
        return out, lambda dout: nn.gaussian.standard_kl_backward(dout, cache)

    return [s.normal(s.n, s.K, scale=1) for _ in range(2)], call


@block("gaussian")
def reparametrise(nn, s):
    noise = s.put(s.normal(s.n, s.K, scale=1).astype(s.dtype))

    def call(mean, logvar):
        out, cache = nn.gaussian.reparametrise_forward(mean, logvar, noise)
        return out, lambda dout: nn.gaussian.reparametrise_backward(dout, cache)

    return [s.normal(s.n, s.K, scale=1) for _ in range(2)], call


def _experts(gate):
    def make(nn, s):
        def call(*five):
            out, cache = nn.experts.experts_forward(*five, gate)
            return out, lambda dout: nn.experts.experts_backward(dout, cache)

        shapes = (s.n, s.D), (s.D, 2), (2,), (2, s.D, s.K), (2, s.K)
        return [s.normal(*shape, scale=1) for shape in shapes], call

    make.__name__ = f"experts_{gate}"
    return make


block("experts")(_experts("softmax"))
block("experts")(_experts("tanh"))


def _fusion(owned):
    def make(nn, s):
        mask = s.mask(s.n, s.D) if owned else None

        def call(*four):
            out, cache = nn.fusion.fusion_forward(*four, mask)
            return out, lambda dout: nn.fusion.fusion_backward(dout, cache)

        return [s.normal(*shape, scale=1) for shape in ((s.D, s.n, s.K), (s.K, 2), (2,), (2,))], call

    make.__name__ = "fusion_of_owned" if owned else "fusion"
    return make


block("fusion")(_fusion(False))
block("fusion")(_fusion(True))


@block("switch")
def switch(nn, s):
    mask = s.mask(s.n)

    def call(a, b):
        out, cache = nn.switch.switch_forward(mask, a, b)
        return out, lambda dout: nn.switch.switch_backward(dout, cache)

    return [s.normal(s.n, s.K), s.normal(s.n, s.K)], call


@block("switch")
def zeroing(nn, s):
    mask = s.mask(s.n)

    def call(a):
        out, cache = nn.switch.switch_forward(mask, a)
        return out, lambda dout: nn.switch.switch_backward(dout, cache)[0]

    return [s.normal(s.n, s.K)], call


@block("graph")
def graph(nn, s):
    matrix = scipy.sparse.random_array((s.n, s.D), density=0.5 * s.full, rng=s.rng)

    def call(x):
        out, cache = nn.graph.graph_forward(nn.graph.make_graph(matrix, x.dtype, s.xp), x)
        return out, lambda dout: nn.graph.graph_backward(dout, cache)

    return [s.normal(s.D, s.K)], call


@block("graph")
def light_gcn(nn, s):
    matrix = nn.graph.row_mean(scipy.sparse.random_array((s.n, s.n), density=0.5 * s.full, rng=s.rng), loops=True)

    def call(x):
        out, cache = nn.graph.light_gcn_forward(nn.graph.make_graph(matrix, x.dtype, s.xp), x, 2)
        return out, lambda dout: nn.graph.light_gcn_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


def of_module(module):
    return [name for name in BLOCKS if name.startswith(f"{module}.")]


def home(x):
    return x.get() if hasattr(x, "get") else np.asarray(x)


def run(name, sizes, nn, change=lambda x: x):
    """Output, gradient of the output, gradients of the variables of a block, as the device has them."""
    variables, call = BLOCKS[name](nn, sizes)
    out, back = call(*(sizes.put(change(x.astype(sizes.dtype))) for x in variables))
    dout = np.random.default_rng(sizes.seed + 1).standard_normal(out.shape).astype(sizes.dtype)
    gradients = back(sizes.put(change(dout)))
    return out, dout, gradients if isinstance(gradients, tuple | list) else (gradients,)


def disagreements(name, sizes, nn):
    """What finite differences of a block say against its gradients: along two directions, and for every number."""
    variables, call = BLOCKS[name](nn, sizes)

    def evaluate():
        return call(*map(sizes.put, variables))

    out, back = evaluate()
    dout = np.random.default_rng(sizes.seed + 1).standard_normal(out.shape)
    gradients = back(sizes.put(dout))
    gradients = [home(g) for g in (gradients if isinstance(gradients, tuple | list) else (gradients,))]
    assert [g.shape for g in gradients] == [x.shape for x in variables]

    def loss():
        return float((home(evaluate()[0]) * dout).sum())

    checks = [check_direction(loss, variables, gradients, seed=sizes.seed + k) for k in range(2)]
    checks += check_elements(loss, variables, gradients)
    floor = SMALL * max(1.0, float(abs(home(out) * dout).sum()), max(abs(check.claimed) for check in checks))
    return [str(check) for check in checks if not _agrees(check, floor)]


SMALL = 1e-2
"""Differences can't tell a slope from 0 to the tolerance if it is below this share of the output, or of the largest."""


def _agrees(check, floor):
    return abs(check.claimed - check.measured) < TOLERANCE * max(abs(check.claimed), abs(check.measured), floor)
