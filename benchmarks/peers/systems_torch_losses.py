"""Losses, parameters and optimisers of the systems in PyTorch.

A system has `phases`, losses of a batch with the optimisers that follow each; `prepared` makes of a batch what they
take: rows of content are gathered there, into the same memory at every step, outside of what is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

T = torch.Tensor
Batch = dict[str, T]
Phase = tuple[Callable[..., T], list[torch.optim.Optimizer]]
LEARNED_NORM = ("_gamma", "_beta")


class Content:
    """Rows of content by id, into memory that is used again: fresh memory would cost as much as the gather."""

    def __init__(self, x: T) -> None:
        self.x, self.memory = x, torch.empty(len(x), x.shape[1])

    def __call__(self, ids: T) -> T:
        return torch.index_select(self.x, 0, ids, out=self.memory[: len(ids)])


class System:
    """Tables by name: those in `moves` are learned."""

    moves: tuple[str, ...] = ()
    phases: list[Phase]

    def __init__(self, t: Batch, x: Content, g: Batch, still: bool) -> None:
        self.t, self.x, self.g, self.still = dict(t), x, g, still
        self.lay_out()
        self.learned = {name: self.t[name].clone().requires_grad_() for name in self.moves}
        self.t |= self.learned
        self.set_up()

    def lay_out(self) -> None:
        """Tables in the form that suits PyTorch."""

    def set_up(self) -> None:
        """Make `phases`."""

    def prepared(self, b: Batch) -> tuple[Any, ...]:
        """Arguments of the phases."""
        raise NotImplementedError

    def named(self, gradients: dict[str, Any]) -> dict[str, Any]:
        """Gradients in the forms and names of the tables that were given."""
        return gradients

    def adam(self, lr: float, *names: str) -> torch.optim.Optimizer:
        return torch.optim.Adam([self.learned[name] for name in names or self.moves], lr, fused=True)

    def descent(self, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(list(self.learned.values()), lr, 0.9, fused=True)


def tower(*names: str) -> tuple[str, ...]:
    """Learned tables of towers."""
    return tuple(f"{name}_{x}" for name in names for x in ("W1", "b1", "gamma", "beta", "W2", "b2"))


def normed(t: Batch, name: str, h: T, train: bool, momentum: float) -> T:
    """Batch norm by PyTorch's own kernel, by copies of the running means."""
    return functional.batch_norm(
        h, t[f"{name}_mean"], t[f"{name}_var"], t.get(f"{name}_gamma"), t[f"{name}_beta"], train, momentum, 1e-3
    )


def after(t: Batch, name: str, h: T, train: bool = True, momentum: float = 0.1, drop: float = 0.0) -> T:
    """What follows a tower's first layer."""
    h = torch.tanh(normed(t, name, h, train, momentum))
    h = functional.dropout(h, drop) if drop else h
    return torch.addmm(t[f"{name}_b2"], h, t[f"{name}_W2"])


def first(t: Batch, name: str, x: T) -> T:
    """A tower's first layer."""
    return torch.addmm(t[f"{name}_b1"], x, t[f"{name}_W1"])


class DropoutNet(System):
    moves = (*tower("user"), "item_W1v", "item_W1x", *tower("item")[1:])

    def lay_out(self) -> None:
        self.K = self.t["v"].shape[1]
        self.t["item_W1v"], self.t["item_W1x"] = self.t["item_W1"].split([self.K, len(self.t["item_W1"]) - self.K])

    def set_up(self) -> None:
        self.phases = [(self.loss, [self.descent(0.02)])]

    def prepared(self, b: Batch) -> tuple[Any, ...]:
        t, (ids, slot) = self.t, torch.unique(b["items"], return_inverse=True)
        u, v = t["u"][b["users"]] * b["keep_u"][:, None], t["v"][b["items"]] * b["keep_v"][:, None]
        return self.x(ids), slot, u, v, (t["P"][b["users"]] * t["Q"][b["items"]]).sum(1)

    def loss(self, x: T, slot: T, u: T, v: T, y: T) -> T:
        t = self.t
        h = torch.addmm(functional.embedding(slot, torch.addmm(t["item_b1"], x, t["item_W1x"])), v, t["item_W1v"])
        z, p = after(t, "item", h), after(t, "user", first(t, "user", u))
        return functional.mse_loss((p * z).sum(1), y)

    def named(self, gradients: dict[str, Any]) -> dict[str, Any]:
        both = [torch.from_numpy(gradients.pop(f"item_W1{part}")) for part in "vx"]
        return gradients | {"item_W1": torch.cat(both).numpy()}


class Mtpr(System):
    moves = ("P", "Q", "W", "W_u", "W_q", "W_x")

    def set_up(self) -> None:
        rows = torch.optim.Adagrad([self.learned[name] for name in "PQ"], 0.01)
        self.phases = [(self.loss, [rows, self.adam(0.01, "W", "W_u", "W_q", "W_x")])]

    def prepared(self, b: Batch) -> tuple[Any, ...]:
        ids, slot = torch.unique(b["items"], return_inverse=True)
        return self.x(ids), ids, slot, b["users"]

    def loss(self, x: T, ids: T, slot: T, users: T) -> T:
        t = self.t
        p = functional.embedding(users, t["P"], sparse=True) @ t["W_u"]
        content, own = x @ t["W"] @ t["W_x"], functional.embedding(ids, t["Q"], sparse=True) @ t["W_q"]
        c, o = (functional.embedding(slot, rows).view(2, *p.shape) for rows in (content, own))
        (ci, cj), (oi, oj) = ((rows * p).sum(2) for rows in (c, o))
        ni, nj = ci + oi, cj + oj
        margins = torch.stack([ni - nj, ci - cj, ni - cj, ci - nj])
        return functional.softplus(-margins).sum() + 0.01 * sum(t[name].square().sum() for name in self.moves[2:])


class Heater(System):
    moves = ("gate_W", "gate_b", "experts_W", "experts_b", *tower("user", "item"))

    def lay_out(self) -> None:
        W = self.t["experts_W"]
        self.parts, self.K = len(W), W.shape[2]
        self.t["experts_W"] = W.permute(1, 0, 2).reshape(W.shape[1], -1)  # one product serves all experts
        self.t["experts_b"] = self.t["experts_b"].reshape(-1)

    def set_up(self) -> None:
        self.penalised = [x for name, x in self.learned.items() if not name.endswith(LEARNED_NORM)]
        self.phases = [(self.loss, [self.descent(0.02)])]

    def prepared(self, b: Batch) -> tuple[Any, ...]:
        ids, slot = torch.unique(b["items"], return_inverse=True)
        return self.x(ids), slot, self.t["u"][b["users"]], self.t["v"][b["items"]], b["y"], b["replaced"]

    def loss(self, x: T, slot: T, u: T, v: T, y: T, replaced: T) -> T:
        t = self.t
        gates = torch.tanh(torch.addmm(t["gate_b"], x, t["gate_W"]))
        hidden = torch.tanh(torch.addmm(t["experts_b"], x, t["experts_W"])).view(len(x), self.parts, self.K)
        made = functional.embedding(slot, torch.tanh(torch.bmm(gates[:, None], hidden)[:, 0]))
        items = torch.where(replaced[:, None], made, v)
        p, z = (after(t, side, first(t, side, rows)) for side, rows in (("user", u), ("item", items)))
        penalty = sum(x.square().sum() for x in self.penalised)
        error, distance = functional.mse_loss((p * z).sum(1), y), (made - v).square().sum()
        return error + 1e-4 * distance + 1e-4 * penalty

    def named(self, gradients: dict[str, Any]) -> dict[str, Any]:
        W = gradients["experts_W"].reshape(-1, self.parts, self.K).transpose(1, 0, 2)
        return gradients | {"experts_W": W, "experts_b": gradients["experts_b"].reshape(self.parts, self.K)}


def nce(scores: T, slots: T, temperature: float, share: T | None = None) -> T:
    """NCE of the first of the candidates that `slots` name among scores of all items."""
    chosen = scores.gather(1, slots.clamp(min=0)).masked_fill(slots < 0, -torch.inf) / temperature
    return chosen.logsumexp(1) - chosen[:, 0]


class Clcrec(System):
    moves = ("P", "Q", "W1", "b1", "W2", "b2")

    def set_up(self) -> None:
        self.phases = [(self.loss, [self.adam(1e-3)])]

    def prepared(self, b: Batch) -> tuple[Any, ...]:
        return self.x(b["ids"]), b["ids"], b["people"][b["user"]], b["slots"], b["replaced"]

    def loss(self, x: T, ids: T, users: T, slots: T, replaced: T) -> T:
        """Scores of all the batch's items by one product, then gathered."""
        t = self.t
        f = torch.addmm(t["b2"], functional.leaky_relu(torch.addmm(t["b1"], x, t["W1"])), t["W2"])
        p, q = functional.embedding(users, t["P"]), functional.embedding(ids, t["Q"])
        cosines = functional.normalize(functional.embedding(slots[:, 0], q)) @ functional.normalize(f).T
        mutual = nce(cosines, slots, 2.0).mean()
        seen = (p @ torch.cat([q, f]).T, torch.where(replaced & (slots >= 0), slots + len(q), slots))
        lengths, there = q.norm(dim=1), slots >= 0
        items = (lengths[slots.clamp(min=0)] * there).sum() / there.sum()
        return 0.5 * mutual + 0.5 * nce(*seen, 2.0).mean() + 5e-4 * (p.norm(dim=1).mean() + items)


class Ccfcrec(System):
    moves = ("P", "Q", "Wp", "Wa", "ba", "Wb", "bb")

    def set_up(self) -> None:
        self.phases = [(self.loss, [self.adam(1e-3)])]

    def prepared(self, b: Batch) -> tuple[Any, ...]:
        names = ("own", "ids", "people", "slots", "user", "other")
        return self.x(b["mine"]), b["widths"].tolist(), *(b[name] for name in names)

    def loss(self, x: T, widths: list[int], own: T, ids: T, people: T, slots: T, user: T, other: T) -> T:
        t, (B, groups, N) = self.t, slots.shape
        parts = [part @ W for part, W in zip(x.split(widths, 1), t["Wp"].split(widths), strict=True)]
        hidden = functional.leaky_relu(torch.addmm(t["ba"], torch.cat(parts, 1), t["Wa"]))
        q = functional.embedding(own, torch.addmm(t["bb"], hidden, t["Wb"]))
        p, v = functional.embedding(people, t["P"]), functional.embedding(ids, t["Q"])
        cosines = functional.normalize(q) @ functional.normalize(v).T
        chosen = cosines.gather(1, slots.view(B, -1).clamp(min=0)).view(B, groups, N)
        chosen = chosen.masked_fill(slots < 0, -torch.inf) / 0.1
        values = chosen.logsumexp(2) - chosen[:, :, 0]
        contrast = values[:, :-1].mean() + values[:, -1].mean()
        apart = functional.embedding(user, p) - functional.embedding(other.clamp(min=0), p)
        each = (functional.embedding(slots[:, -1, 0], v), q)
        ranking = sum((functional.softplus(-(z * apart).sum(1)) * (other >= 0)).sum() for z in each) / B
        size = sum(z.square().sum() for z in (p, v, *(t[name] for name in self.moves[2:])))
        return 0.6 * contrast + 0.4 * ranking + 5e-5 * size


class Gar(System):
    SIDES = ("user", "item")
    moves = (*tower("make", "user", "item"), "user_first_beta", "item_first_beta")

    def set_up(self) -> None:
        mine = tower("make")
        rest = [name for name in self.moves if name not in mine]
        self.drop = (0.0, 0.0) if self.still else (0.1, 0.5)
        self.phases = [(self.recommender, [self.adam(1e-3, *rest)]), (self.generator, [self.adam(1e-3, *mine)])]
        self.weights = {
            key: [self.learned[f"{side}_{W}"] for side in sides for W in ("W1", "W2")]
            for key, sides in (("make", ("make",)), ("sides", self.SIDES))
        }

    def prepared(self, b: Batch) -> tuple[Any, ...]:
        ids, slot = torch.unique(b["chosen"], return_inverse=True)
        t = self.t
        return self.x(ids), slot, t["u"][b["users"]], t["v"][b["chosen"]], t["v"][b["drawn"]]

    def side(self, name: str, rows: T, train: bool, copies: int = 1) -> T:
        h = first(self.t, name, normed(self.t, f"{name}_first", rows, train, 0.01))
        h = torch.tanh(normed(self.t, name, h, train, 0.01)).repeat(copies, 1)
        h = functional.dropout(h, self.drop[1]) if train else h
        return torch.addmm(self.t[f"{name}_b2"], h, self.t[f"{name}_W2"])

    def hidden(self, x: T, slot: T) -> T:
        return functional.embedding(slot, first(self.t, "make", x))

    def recommender(self, x: T, slot: T, u: T, v: T, w: T) -> T:
        """The generator stands still; its first layer is computed here and in its own turn."""
        with torch.no_grad():
            fake = after(self.t, "make", self.hidden(x, slot), train=False)
        scores = self.side("user", u, True, 3) * self.side("item", torch.cat([v, w, fake]), True)
        chosen, drawn, made = scores.sum(1).view(3, -1)
        ranking = functional.softplus(-(chosen - 0.5 * made - 0.5 * drawn)).mean()
        return ranking + 5e-4 * sum(W.square().sum() for W in self.weights["sides"])

    def generator(self, x: T, slot: T, u: T, v: T, w: T) -> T:
        made = after(self.t, "make", self.hidden(x, slot), momentum=0.01, drop=self.drop[0])
        with torch.no_grad():
            p = self.side("user", u, False)
            real = self.side("item", v, False)
        gap = (p * (self.frozen_item(made) - real)).sum(1)
        penalty = 5e-4 * sum(W.square().sum() for W in self.weights["make"])
        return 0.5 * functional.softplus(-gap).mean() + 0.5 * functional.l1_loss(made, v) + penalty

    def frozen_item(self, rows: T) -> T:
        """The item side without gradients of its tables."""
        t = {name: x.detach() for name, x in self.t.items() if name.startswith("item")}
        h = first(t, "item", normed(t, "item_first", rows, False, 0.01))
        return after(t, "item", h, train=False)


class Gorec(System):
    moves = (
        "We", "e_gamma", "e_beta", "Wm", "bm", "Ws", "bs", "Wpm", "bpm", "Wps", "bps", "Wd", "d_gamma", "d_beta",
        "W1", "b1", "W2", "b2",
    )  # fmt: skip

    def set_up(self) -> None:
        self.phases = [(self.loss, [self.adam(1e-3)])]

    def prepared(self, b: Batch) -> tuple[Any, ...]:
        v = self.t["v"][b["ids"]]
        return self.x(b["ids"]), v, b["noise"] if self.still else torch.randn_like(v)

    def loss(self, x: T, v: T, noise: T) -> T:
        t = self.t

        def norm(h: T, part: str) -> T:
            running = (t[f"{part}_mean"], t[f"{part}_var"], t[f"{part}_gamma"], t[f"{part}_beta"])
            return torch.tanh(functional.batch_norm(h, *running, training=True))

        h = norm(torch.cat([x, v], 1) @ t["We"], "e")
        mean, logvar = torch.addmm(t["bm"], h, t["Wm"]), torch.addmm(t["bs"], h, t["Ws"])
        prior, prior_logvar = torch.addmm(t["bpm"], x, t["Wpm"]), torch.addmm(t["bps"], x, t["Wps"])
        z = mean + (logvar / 2).exp() * noise
        dropped = x if self.still else functional.dropout(x, 0.3)
        h = torch.addmm(t["b1"], norm(torch.cat([dropped, z], 1) @ t["Wd"], "d"), t["W1"])
        made = torch.addmm(t["b2"], h, t["W2"])
        spread = torch.pdist(functional.normalize(mean)).square().mul(-2).exp().mean().log()
        gap = (mean - prior).square() * (-prior_logvar).exp()
        kl = ((logvar - prior_logvar).exp() - 1 - (logvar - prior_logvar) + gap).sum(1).mean() / 2
        return functional.mse_loss(made, v) + 0.1 * spread + 0.01 * kl


class Sparse(torch.autograd.Function):
    """Product with a matrix whose transpose was made before: PyTorch would make it at every step."""

    @staticmethod
    def forward(ctx: Any, x: T, matrix: T, transposed: T) -> T:
        ctx.transposed = transposed
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, dout: T) -> tuple[T, None, None]:
        return ctx.transposed @ dout, None, None


class Micro(System):
    moves = ("P", "Q", "Wq", "bq", "query")

    def set_up(self) -> None:
        self.graphs = {name.split("/")[0] for name in self.g if "/" in name}
        self.graphs = {name: [self.csr(name, way) for way in ("forward", "back")] for name in sorted(self.graphs)}
        self.phases = [(self.loss, [self.adam(1e-3)])]

    def csr(self, name: str, way: str) -> T:
        parts = [self.g[f"{name}/{way}/{part}"] for part in ("indptr", "indices", "weights")]
        shape = (len(parts[0]) - 1, int(self.g[f"{name}/{way}/columns"]))
        return torch.sparse_csr_tensor(*parts, size=shape)

    def prepared(self, b: Batch) -> tuple[Any, ...]:
        anchors = [b[name] for name in sorted(b) if name.startswith("anchors")]
        return b["users"], b["ids"], b["better"], b["worse"], anchors, self.g["owned"][b["ids"]].T

    def loss(self, users: T, ids: T, better: T, worse: T, anchors: list[T], owned: T) -> T:
        t = self.t
        both = torch.cat([t["P"], t["Q"]])
        once = Sparse.apply(both, *self.graphs["pairs"])
        both = (both + once + Sparse.apply(once, *self.graphs["pairs"])) / 3
        items = [name for name in self.graphs if name != "pairs"]
        a = torch.stack([functional.embedding(ids, Sparse.apply(t["Q"], *self.graphs[name])) for name in items])
        scores = (torch.tanh(torch.matmul(a, t["Wq"]) + t["bq"]) @ t["query"]).masked_fill(~owned, -1e9)
        h = functional.normalize((torch.softmax(scores, 0)[..., None] * a).sum(0))
        z = functional.embedding(ids + len(t["P"]), both) + h
        u, i, j = functional.embedding(users, both), functional.embedding(better, z), functional.embedding(worse, z)
        ranking = functional.softplus(-(u * (i - j)).sum(1)).mean()
        short = 5e-6 * sum(rows.square().sum(1).mean() for rows in (u, i, j))
        contrast = sum(self.contrast(a[m][mine], h[mine]) for m, mine in enumerate(anchors))
        return ranking + short + 0.03 * contrast

    @staticmethod
    def contrast(a: T, h: T) -> T:
        a = functional.normalize(a)
        scores = a @ torch.cat([h, a]).T / 0.5
        n = len(a)
        places = torch.arange(n)
        inside = torch.zeros_like(scores, dtype=torch.bool)
        inside[places, places + n] = True
        return functional.cross_entropy(scores.masked_fill(inside, -1e9), places)


SYSTEMS: dict[str, type[System]] = {
    "dropoutnet": DropoutNet, "mtpr": Mtpr, "heater": Heater, "clcrec": Clcrec, "ccfcrec": Ccfcrec, "gar": Gar,
    "gorec": Gorec, "micro": Micro,
}  # fmt: skip
