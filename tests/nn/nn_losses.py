"""Cases of dot products, losses and samples."""

from __future__ import annotations

from importlib import import_module

from nn_sizes import block


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
def sampled_dot(nn, s):
    kernels, slots = import_module(f"milk_np.kernels.{s.kernels}"), s.ids(s.n * s.K, s.D).reshape(s.n, s.K)
    slots[:1, :1] = -1

    def call(query, table):
        out, cache = nn.margins.sampled_dot_forward(kernels, query, table, slots)
        return out, lambda dout: nn.margins.sampled_dot_backward(dout, cache)

    return [s.normal(s.n, s.K), s.normal(max(1, s.D), s.K)], call


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


block("losses")(_rows("squared_norm"))
block("losses")(_rows("norm"))


@block("contrastive")
def nce(nn, s):
    def call(scores):
        out, cache = nn.contrastive.nce_forward(scores, 0.7, reduction=s.reduction)
        return out, lambda dout: nn.contrastive.nce_backward(dout, cache)

    return [s.normal(s.n, s.K)], call


@block("contrastive")
def nce_of_some(nn, s):
    positive, mask = s.ids(s.n, s.K), s.mask(s.n, s.K)

    def call(scores):
        keywords = {"positive": positive, "mask": mask, "reduction": s.reduction}
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


@block("losses")
def variance(nn, s):
    def call(losses):
        out, cache = nn.losses.variance_forward(losses)
        return out, lambda dout: nn.losses.variance_backward(dout, cache)

    return [s.normal(s.n)], call


@block("losses")
def softmax_kl(nn, s):
    def call(x, target):
        out, cache = nn.losses.softmax_kl_forward(x, target, s.reduction)
        return out, lambda dout: nn.losses.softmax_kl_backward(dout, cache)

    return [s.normal(s.n, s.K, scale=1), s.normal(s.n, s.K, scale=1)], call
