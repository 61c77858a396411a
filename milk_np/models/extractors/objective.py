"""The objective on a batch of triplets, forward and backward in one pass (Eq. 5 to 16 of Bai et al., SIGIR 2024).

c^m = x^m W^m + b^m                      extract, for the batch's distinct items only
s^m_t = q_t . (c^m_i - c^m_j)            margins; q_t is the user's vector (`.users`)
y^e_t = sum_m theta_e^m s^m_t            environments, linear in the margins
L_e = mean_t softplus(-y^e_t)            risk of an environment
objective = base sum_e L_e + beta Var_e(L_e) + lambda L_align + gamma L_reg
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend, Scratch
from milk_np.kernels.reference.grouping import Groups
from milk_np.models.extractors.parameters import Parameters, scale_view, weight_views
from milk_np.models.extractors.users import Batch, FreeUsers, Users


@dataclass(frozen=True)
class Weights:
    """Weights of the objective's terms; `mean` says whether the risks of the E environments are averaged or summed."""

    invariance: float
    alignment: float
    regulariser: float
    mean: bool = True
    all_parameters: bool = False
    """Regularise all parameters, as the printed Eq. 16 does, in place of the batch's vectors."""

    def base(self, E: int) -> float:
        """Weight of each environment's risk."""
        return 1 / E if self.mean else 1.0


class BackendTable(NamedTuple):
    """A modality's virtual feature table on the backend; see `milk_np.data.FeatureTable`."""

    raw: Array
    fill: Array
    source: Array
    scale: Array


class Gradients(NamedTuple):
    """Gradients in the shape of `Parameters`; `P` holds the rows `users` of P's, or all of them where that is None.

    A row whose user is -1 is padding; see `milk_np.kernels`.
    """

    users: Array | None
    P: Array
    weights: Array
    W: list[Array]
    b: list[Array]
    scale: Array | None = None


class Extracted(NamedTuple):
    """A batch and its items' c (M, n, K), with what the backward pass needs of each modality."""

    batch: Batch
    c: Array
    caches: list[Any]


class Pulled(NamedTuple):
    """Users and the gradient of their rows of P; of c; of g, where there is one."""

    users: Array
    P: Array
    dc: Array
    scale: Array | None


class Objective:
    """Losses and gradients of a batch. Arrays that it returns are overwritten by its next call."""

    def __init__(
        self,
        backend: Backend,
        tables: Sequence[BackendTable],
        owned: Array,
        n_users: int,
        weights: Weights,
        users: Users | None = None,
    ) -> None:
        """`owned` (I, M) bool says which modalities an item has; `users` None means free users."""
        self._kernels: Any = backend.kernels
        self._backend, self._scratch = backend, Scratch(backend)
        self._weights_gradient: Array | None = None
        self._tables, self._owned, self._weights = tables, owned, weights
        self._users = users or FreeUsers(backend, n_users, len(owned))

    @property
    def fixed(self) -> bool:
        """Whether every batch of one size launches the same kernels on arrays of the same sizes."""
        return self._users.fixed and not self._weights.all_parameters

    def group(self, users: Array) -> Groups:
        """The distinct users of a batch and their positions; see `milk_np.kernels.reference.grouping`."""
        return self._users.group(users)

    def __call__(
        self,
        params: Parameters,
        users: Array,
        items: Array,
        theta: Array,
        record: Array,
        by_user: Groups | None = None,
        by_item: Groups | None = None,
    ) -> Gradients:
        """Gradients at `params` for the triplets `users` (B), `items` (2B: positives, then negatives).

        `theta` (E, M) are the environments. `record` (E + 2) float64 receives the losses L_e, then the unweighted
        alignment and regulariser terms. `by_user` is `group(users)` if the caller has it already; `by_item` are all
        items to extract, grouped, likewise.
        """
        extracted = self.extract(params, users, items, by_user, by_item)
        pulled = self.pull(params, extracted, theta, record)
        gradients = self.weigh(params, extracted, pulled)
        if self._weights.regulariser and self._weights.all_parameters:
            return _regularise_all(self._backend, params, gradients, self._weights.regulariser, record[-1:])
        return gradients

    def extract(
        self, params: Parameters, users: Array, items: Array, by_user: Groups | None, by_item: Groups | None
    ) -> Extracted:
        """The first part of a call, which doesn't read P: the batch's items through the extractors."""
        by_user = by_user or self.group(users)
        batch = self._users.batch(users, items, by_user, by_item)
        return Extracted(batch, *self._extract(params, batch.by_item.unique))

    def pull(self, params: Parameters, extracted: Extracted, theta: Array, record: Array) -> Pulled:
        """The second part: losses into `record`, gradients of the users' rows and of c."""
        K, weights, E, (batch, c, _) = self._kernels, self._weights, len(theta), extracted
        users, by_item = batch.users, batch.by_item
        s, ds = self._like("s", c, len(users)), self._like("ds", c, len(users))
        dc = self._scratch.take("dc", c.shape, c.dtype)
        q = self._users.forward(params, c, batch)
        K.margins(q.table, c, q.rows, by_item.slot, s)
        K.risk(s, theta, weights.base(E), weights.invariance, record[:E], ds)
        join = self._backend.aside(lambda: K.margins_backward_users(c, by_item.slot, ds, q.groups, q.gradient))
        K.margins_backward_items(q.table, q.rows, ds, by_item, dc)
        if weights.alignment:
            K.alignment(c, by_item.unique, self._owned, by_item.slot, weights.alignment, dc, record[E : E + 1])
        join()
        p = self._users.covered(params, batch, q)
        if weights.regulariser and not weights.all_parameters:
            K.regulariser(p.table, c, p.groups, by_item, weights.regulariser, p.gradient, dc, record[E + 1 :])
        dscale = self._gradient_of_scale(params)
        return Pulled(*self._users.backward(params, batch, q, p, dc, dscale), dc, dscale)

    def weigh(self, params: Parameters, extracted: Extracted, pulled: Pulled) -> Gradients:
        """The third part, which doesn't read P: gradients of W and b."""
        of_weights = self._extract_backward(params, extracted.batch.by_item.unique, pulled.dc, extracted.caches)
        return Gradients(pulled.users, pulled.P, *of_weights, pulled.scale)

    def _like(self, name: str, c: Array, B: int) -> Array:
        return self._scratch.take(name, (len(c), B), c.dtype)

    def _extract(self, params: Parameters, rows: Array) -> tuple[Array, list[Any]]:
        """c (M, n, K) of the items `rows`, and what the backward pass wants to keep of each modality."""
        c = self._scratch.take("c", (len(self._tables), len(rows), params.P.shape[1]), params.P.dtype)
        return c, self._kernels.extract_all(self._tables, rows, params.W, params.b, c)

    def _extract_backward(
        self, params: Parameters, rows: Array, dc: Array, caches: list[Any]
    ) -> tuple[Array, list[Array], list[Array]]:
        """dW^m = x^m^T dc^m and db^m = sum of dc^m, as one vector and its views."""
        weights, dW, db = self._weight_gradients(params)
        self._kernels.extract_all_backward(self._tables, rows, dc, dW, db, caches)
        return weights, dW, db

    def _weight_gradients(self, params: Parameters) -> tuple[Array, list[Array], list[Array]]:
        """The vector for the gradient of all W and b, and its views."""
        weights = self._gradient_of_weights(params)
        return weights, *weight_views(weights, [len(W) for W in params.W], params.P.shape[1])

    def _gradient_of_weights(self, params: Parameters) -> Array:
        """The vector for the gradient of all W and b, and of g; the gaps between them stay zero."""
        if self._weights_gradient is None:
            self._weights_gradient = self._backend.zeros(params.weights.shape, params.weights.dtype)
        return self._weights_gradient

    def _gradient_of_scale(self, params: Parameters) -> Array | None:
        """Where the gradient of g goes in that vector; None without it."""
        return None if params.scale is None else scale_view(self._gradient_of_weights(params))


def _regularise_all(
    backend: Backend, params: Parameters, gradients: Gradients, weight: float, term: Array
) -> Gradients:
    """Add weight * |all parameters|^2: the gradient of P then has a number in every row."""
    U, K = params.P.shape
    dP = backend.empty((U + 1, K), params.P.dtype)  # the last row is for users -1, of which no number counts
    dP[:U] = 2 * weight * params.P
    dP[gradients.users] += gradients.P
    gradients.weights[...] += 2 * weight * params.weights
    term[0] = sum((x.astype(np.float64) ** 2).sum() for x in (params.P, params.weights))
    return gradients._replace(users=None, P=dP[:U])


def parts(record: NDArray[np.float64], weights: Weights) -> dict[str, float]:
    """Weighted parts of the objective, averaged over the steps of `record` (steps, E + 2).

    "bpr0" is the loss of the first environment alone, "bpr" all of them as the objective counts them.
    """
    losses, alignment, regulariser = record[:, :-2], record[:, -2], record[:, -1]
    E = losses.shape[1]
    variance = losses.var(axis=1, ddof=1) if E > 1 else np.zeros(len(losses))
    terms = {
        "bpr": weights.base(E) * losses.sum(axis=1),
        "variance": weights.invariance * variance,
        "alignment": weights.alignment * alignment,
        "reg": weights.regulariser * regulariser,
    }
    means = {name: float(values.mean()) for name, values in terms.items()}
    return {"total": sum(means.values()), **means, "bpr0": float(losses[:, 0].mean())}
