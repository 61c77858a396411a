"""Errors in each gradient term, kernel and closed form, and the tests that have to catch them.

`python tests/mutations.py [WORD ...]` plants those whose name or file holds a WORD (all by default), one at a time, in
a copy of the package, and prints a Markdown table. An error that no test catches makes it end with exit code 1.
"""

from __future__ import annotations

import sys

import closed_form_mutations
import systems_mutations
from closed_form_mutations import CF, KP
from planting import Mutation, Proof, both, run

PROOFS = Proof(
    (
        "tests/nn",
        "tests/models/milk/test_environments.py",
        "tests/models/milk/test_objective.py",
        "tests/models/milk/test_users.py",
        "tests/golden",
        "tests/kernels",
    )
)
CLOSED_FORM = Proof(("tests/models/kernel_profile",))
RIVALS = Proof(("tests/models/closed_form",))
LEAST_SQUARES = Proof(("tests/kernels/test_als.py",))


MUTATIONS = [
    *both(
        "margin: sign of the negative item", "margins",
        ("difference = c[:, slot[:B]] - c[:, slot[B:]]", "difference = c[:, slot[:B]] + c[:, slot[B:]]"),
        ("total += p[k] * (better[k] - worse[k])", "total += p[k] * (better[k] + worse[k])"),
    ),
    *both(
        "dP: positive item left out", "margins",
        ('"mb,mbk->bk", ds, c[:, slot[:B]] - c[:, slot[B:]])', '"mb,mbk->bk", ds, -c[:, slot[B:]])'),
        ("row[k] += g * (better[k] - worse[k])", "row[k] += g * (-worse[k])"),
    ),
    *both(
        "dc: negative item gets the positive's sign", "margins",
        ("np.subtract.at(out[m]", "np.add.at(out[m]"),
        ("else -ds[m, t - B]", "else ds[m, t - B]"),
    ),
    *both(
        "risk: slope at -y", "risk",
        ("slope = -np.exp(-np.logaddexp(0, y)) / B", "slope = -np.exp(-np.logaddexp(0, -y)) / B"),
        ("-(decay if y > 0 else one)", "-(one if y > 0 else decay)"),
    ),
    *both(
        "risk: mean over triplets forgotten in the slope", "risk",
        ("slope = -np.exp(-np.logaddexp(0, y)) / B", "slope = -np.exp(-np.logaddexp(0, y))"),
        (" / (one + decay) / s.dtype.type(B)", " / (one + decay)"),
    ),
    *both(
        "variance: biased divisor in the gradient", "risk",
        ("2 * invariance / (E - 1)", "2 * invariance / E"),
        ("2 * invariance / (E - 1)", "2 * invariance / E"),
    ),
    *both(
        "variance: mean not subtracted", "risk",
        ("(losses - losses.mean())", "(losses)"),
        ("(losses - losses.mean())", "losses"),
    ),
    *both(
        "environments: weights of the first one used for all", "risk",
        ("ds[...] = theta.T @ (weights[:, None] * slope)", "ds[...] = theta.T @ (weights[0] * slope)"),
        ("theta[e, m] * weights[e], slope[e]", "theta[e, m] * weights[0], slope[e]"),
    ),
    *both(
        "alignment: factor 2 forgotten", "penalties",
        ("step = 2 * weight / elements", "step = weight / elements"),
        ("c.dtype.type(2 * weight * scales[a, b])", "c.dtype.type(weight * scales[a, b])"),
    ),
    *both(
        "alignment: mirror term left out", "penalties",
        ("dc[b, both] -= step.astype(dc.dtype)", "pass"),
        ("dc[b, r, k] -= step * difference", "pass"),
    ),
    *both(
        "alignment: items that don't own both counted", "penalties",
        ("both = mine[:, a] & mine[:, b]", "both = mine[:, a]"),
        ("if mine[r, a] and mine[r, b]:\n                    step", "if mine[r, a]:\n                    step"),
    ),
    *both(
        "regulariser: user's triplets counted once", "penalties",
        ("user_count[:, None].astype(dP.dtype) * p", "p"),
        ("P.dtype.type(step * count)", "P.dtype.type(step)"),
    ),
    *both(
        "regulariser: share of a modality forgotten", "penalties",
        ("(2 * weight / (B * M))", "(2 * weight / B)"),
        ("2 * weight / (B * len(c))", "2 * weight / B"),
    ),
    *both(
        "extract: bias forgotten", "extract",
        ("    out += bias", "    pass"),
        ("scale[r] * acc[r, k] + bias[k]", "scale[r] * acc[r, k]"),
        "products",
    ),
    Mutation(
        "dW: scale of the row forgotten", "kernels/cpu/packing.py",
        "row[k] = part[k] * factor", "row[k] = part[k]",
    ),
    Mutation(
        "db: half of the rows", "kernels/reference/extract.py",
        "np.sum(dout, axis=0, out=dbias)", "np.sum(dout[::2], axis=0, out=dbias)",
    ),
    Mutation(
        "dW: last rows of a block left out", "kernels/cpu/products.py",
        "steps = min(depth, n - first)", "steps = min(depth, n - first) // 2",
    ),
    Mutation(
        "dW: columns that fill no panel left out", "kernels/cpu/packing.py",
        "if width % columns:", "if width < columns:",
    ),
    Mutation(
        "products: steps that fill no round left out", "kernels/cpu/microkernel.py",
        "self._step(b, x, panel, k)\n", "pass\n",
    ),
    Mutation(
        "x W: columns that fill no panel left out", "kernels/cpu/products.py",
        "    if k < acc.shape[1]:\n", "    if k == 0:\n",
    ),
    *both(
        "sparse product: rows in another order", "sparse",
        ("whole[rows]", "whole[rows[::-1]]"),
        ("r, total = rows[place], out[place]", "r, total = rows[len(rows) - 1 - place], out[place]"),
    ),
    *both(
        "sparse product: rows that don't count are read", "sparse",
        ("np.where(used[indices, None], x[indices], 0)", "x[indices]"),
        ("        if used[indices[at]]:", "        if True:"),
    ),
    *both(
        "sparse product: start forgotten", "sparse",
        ("        whole += start\n", "        pass\n"),
        ("start[r, k] if len(start) else 0", "0"),
    ),
    *both(
        "Adam: second moment from the gradient, not its square", "adam",
        ("kind(1 - BETA2) * grad * grad", "kind(1 - BETA2) * np.abs(grad)"),
        ("a2 * g[k] * g[k]", "a2 * abs(g[k])"),
    ),
    *both(
        "Adam: idle rows don't decay", "adam",
        ("            second[row] *= kind(BETA2)\n", ""),
        ("            v[k] *= b2\n", ""),
    ),
    *both(
        "sampling: own items may be negatives", "sampling",
        ("r + np.searchsorted(own - np.arange(len(own)), r, side=\"right\")", "r"),
        ("return r + low - start", "return r"),
    ),
    Mutation("sampling: what lies after a user's own items counts", "kernels/cpu/counting.py",
             "b.and_(inside, b.icmp_signed(\"<=\", shifted, limit))", "b.icmp_signed(\"<=\", shifted, limit)"),
    Mutation(
        "all parameters: gradient of P's touched rows lost", "milk_np/models/extractors/objective.py",
        "    dP[gradients.users] += gradients.P\n", "",
    ),
    *both(
        "histories: the positive stays in", "histories",
        ("    v = total[owner] - h[positive]\n", "    v = total[owner]\n"),
        ("v[k] = everything[k] - own[k]", "v[k] = everything[k]"),
    ),
    *both(
        "histories: a user of one item gets a direction of rounding", "histories",
        ("others = lengths[owner] > 1", "others = lengths[owner] > 0"),
        ("others = lengths[owner[t]] > 1", "others = lengths[owner[t]] > 0"),
    ),
    *both(
        "histories: length's own gradient forgotten", "histories",
        ("(dq - along[:, None] * unit)", "dq"),
        ("(slope[k] - dot * direction[k])", "slope[k]"),
    ),
    *both(
        "histories: length forgotten in the backward pass", "histories",
        ("left[...] = -factor * inverse[:, None]", "left[...] = -factor"),
        ("size = -factor * inverse[t]", "size = -factor"),
    ),
    *both(
        "histories: gradient of what is left out has the sum's sign", "histories",
        ("left[...] = -factor", "left[...] = factor"),
        ("size = -factor", "size = factor"),
    ),
    *both(
        "histories: gradient of g without the length", "histories",
        ("dscale[...] = factor * along.sum()", "dscale[...] = along.sum()"),
        ("np.exp(scale[0]) * along.sum()", "along.sum()"),
    ),
    *both(
        "histories: g itself taken for the length", "histories",
        ("np.multiply(unit, np.exp(scale), out=q)", "np.multiply(unit, scale, out=q)"),
        ("q[t, k] = factor * v[k]", "q[t, k] = scale[0] * v[k]"),
    ),
    *both(
        "histories: a negative takes the triplet's gradient", "histories",
        ("np.full(B, -1), B + np.repeat", "np.arange(B), B + np.repeat"),
        ("ids[B + t], origin[B + t] = items[B + t], -1", "ids[B + t], origin[B + t] = items[B + t], t"),
    ),
    *both(
        "histories: gradient sent to the triplets' rows", "histories",
        ("B + np.repeat(np.arange(len(users)), lengths)", "np.repeat(np.arange(len(users)), lengths)"),
        ("origin[start[s] + k] = B + s", "origin[start[s] + k] = s"),
    ),
    *both(
        "sum of rows: -1 read as the last row", "histories",
        ("table[rows[rows >= 0]]", "table[rows]"),
        ("if index[position] >= 0:", "if True:"),
    ),
    *both(
        "mean of owned modalities: over all of them", "histories",
        ("np.maximum(mine.sum(axis=1, keepdims=True), 1)", "mine.shape[1]"),
        ("return 1 / max(count, 1)", "return 1 / owned.shape[1]"),
    ),
    *both(
        "mean of owned modalities: backward overwrites", "histories",
        ("dc += np.einsum", "dc[...] = np.einsum"),
        ("dc[m, r, k] += share", "dc[m, r, k] = share"),
    ),
    *both(
        "histories: sign of the sum's gradient", "histories",
        ("    users *= -1", "    users *= 1"),
        ("    users *= -1", "    users *= 1"),
    ),
    Mutation(
        "users: own part left out of both", "milk_np/models/milk/users.py",
        "        seen.table[...] += params.P[batch.users]\n", "",
    ),
    Mutation(
        "environments: shifts the wrong way round are no shifts", "milk_np/models/milk/environments.py",
        "np.roll(drawn, shift, axis=2)", "np.roll(drawn, 0, axis=2)",
    ),
    Mutation("top-K: a cut drops what ties with the last", "kernels/cpu/topk.py",
             "(value == limit and ties > 0)", "(value == limit and ties > 1)"),
    Mutation("top-K: a cut keeps all that ties", "kernels/cpu/topk.py", "ties -= value == limit", "ties -= 0"),
    Mutation("top-K: what ties with the last limit is overlooked", "kernels/cpu/topk.py",
             "np.int64(place_of(floor)) - _BELOW", "np.int64(place_of(floor))"),
    Mutation("top-K: zeros of both signs differ in a cut", "kernels/cpu/topk.py", "_BELOW = 2", "_BELOW = 1"),
    Mutation("top-K: equal scores in one place", "kernels/cpu/topk.py", "taken[rank] += 1", "taken[rank] += 0"),
    Mutation("top-K: the next chunk begins anew", "kernels/cpu/topk.py",
             "range(min(k, start) if row < n else 0)", "range(0)"),
    *closed_form_mutations.MUTATIONS,
    *systems_mutations.MUTATIONS,
]  # fmt: skip


def proof_of(mutation: Mutation) -> Proof:
    """The tests that have to catch it."""
    if mutation.file in systems_mutations.PROOFS:
        return systems_mutations.PROOFS[mutation.file]
    if mutation.file.endswith("/als.py") and mutation.file.startswith("kernels"):
        return LEAST_SQUARES
    if mutation.file.startswith(CF):
        return RIVALS
    return CLOSED_FORM if mutation.file.startswith(KP) else PROOFS


if __name__ == "__main__":
    sys.exit(run(MUTATIONS, proof_of, sys.argv[1:]))
