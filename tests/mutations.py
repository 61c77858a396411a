"""Errors in each gradient term, kernel and closed form, and the tests that have to catch them.

`python tests/mutations.py [WORD ...]` plants those whose name or file holds a WORD (all by default), one at a time, in
a copy of the package, and prints a Markdown table. An error that no test catches makes it end with exit code 1.
"""

from __future__ import annotations

import sys

from planting import Mutation, Proof, run

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


def _both(
    name: str, family: str, reference: tuple[str, str], cpu: tuple[str, str], cpu_family: str = ""
) -> list[Mutation]:
    return [
        Mutation(name, f"kernels/reference/{family}.py", *reference),
        Mutation(name, f"kernels/cpu/{cpu_family or family}.py", *cpu),
    ]


KP = "milk_np/models/kernel_profile/"
CF = "milk_np/models/closed_form/"

MUTATIONS = [
    *_both(
        "margin: sign of the negative item", "margins",
        ("difference = c[:, slot[:B]] - c[:, slot[B:]]", "difference = c[:, slot[:B]] + c[:, slot[B:]]"),
        ("total += p[k] * (better[k] - worse[k])", "total += p[k] * (better[k] + worse[k])"),
    ),
    *_both(
        "dP: positive item left out", "margins",
        ('"mb,mbk->bk", ds, c[:, slot[:B]] - c[:, slot[B:]])', '"mb,mbk->bk", ds, -c[:, slot[B:]])'),
        ("row[k] += g * (better[k] - worse[k])", "row[k] += g * (-worse[k])"),
    ),
    *_both(
        "dc: negative item gets the positive's sign", "margins",
        ("np.subtract.at(out[m]", "np.add.at(out[m]"),
        ("else -ds[m, t - B]", "else ds[m, t - B]"),
    ),
    *_both(
        "risk: slope at -y", "risk",
        ("slope = -np.exp(-np.logaddexp(0, y)) / B", "slope = -np.exp(-np.logaddexp(0, -y)) / B"),
        ("-(decay if y > 0 else one)", "-(one if y > 0 else decay)"),
    ),
    *_both(
        "risk: mean over triplets forgotten in the slope", "risk",
        ("slope = -np.exp(-np.logaddexp(0, y)) / B", "slope = -np.exp(-np.logaddexp(0, y))"),
        (" / (one + decay) / s.dtype.type(B)", " / (one + decay)"),
    ),
    *_both(
        "variance: biased divisor in the gradient", "risk",
        ("2 * invariance / (E - 1)", "2 * invariance / E"),
        ("2 * invariance / (E - 1)", "2 * invariance / E"),
    ),
    *_both(
        "variance: mean not subtracted", "risk",
        ("(losses - losses.mean())", "(losses)"),
        ("(losses - losses.mean())", "losses"),
    ),
    *_both(
        "environments: weights of the first one used for all", "risk",
        ("ds[...] = theta.T @ (weights[:, None] * slope)", "ds[...] = theta.T @ (weights[0] * slope)"),
        ("theta[e, m] * weights[e], slope[e]", "theta[e, m] * weights[0], slope[e]"),
    ),
    *_both(
        "alignment: factor 2 forgotten", "penalties",
        ("step = 2 * weight / elements", "step = weight / elements"),
        ("c.dtype.type(2 * weight * scales[a, b])", "c.dtype.type(weight * scales[a, b])"),
    ),
    *_both(
        "alignment: mirror term left out", "penalties",
        ("dc[b, both] -= step.astype(dc.dtype)", "pass"),
        ("dc[b, r, k] -= step * difference", "pass"),
    ),
    *_both(
        "alignment: items that don't own both counted", "penalties",
        ("both = mine[:, a] & mine[:, b]", "both = mine[:, a]"),
        ("if mine[r, a] and mine[r, b]:\n                    step", "if mine[r, a]:\n                    step"),
    ),
    *_both(
        "regulariser: user's triplets counted once", "penalties",
        ("user_count[:, None].astype(dP.dtype) * p", "p"),
        ("P.dtype.type(step * count)", "P.dtype.type(step)"),
    ),
    *_both(
        "regulariser: share of a modality forgotten", "penalties",
        ("(2 * weight / (B * M))", "(2 * weight / B)"),
        ("2 * weight / (B * len(c))", "2 * weight / B"),
    ),
    *_both(
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
    *_both(
        "Adam: second moment from the gradient, not its square", "adam",
        ("kind(1 - BETA2) * grad * grad", "kind(1 - BETA2) * np.abs(grad)"),
        ("a2 * g[k] * g[k]", "a2 * abs(g[k])"),
    ),
    *_both(
        "Adam: idle rows don't decay", "adam",
        ("            second[row] *= kind(BETA2)\n", ""),
        ("            v[k] *= b2\n", ""),
    ),
    *_both(
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
    *_both(
        "histories: the positive stays in", "histories",
        ("    v = total[owner] - h[positive]\n", "    v = total[owner]\n"),
        ("v[k] = everything[k] - own[k]", "v[k] = everything[k]"),
    ),
    *_both(
        "histories: a user of one item gets a direction of rounding", "histories",
        ("others = np.diff(start)[owner] > 1", "others = np.diff(start)[owner] > 0"),
        ("- start[owner[t]] > 1", "- start[owner[t]] > 0"),
    ),
    *_both(
        "histories: length's own gradient forgotten", "histories",
        ("(dq - along[:, None] * unit)", "dq"),
        ("(slope[k] - dot * direction[k])", "slope[k]"),
    ),
    *_both(
        "histories: length forgotten in the backward pass", "histories",
        ("left[...] = -factor * inverse[:, None]", "left[...] = -factor"),
        ("size = -factor * inverse[t]", "size = -factor"),
    ),
    *_both(
        "histories: gradient of what is left out has the sum's sign", "histories",
        ("left[...] = -factor", "left[...] = factor"),
        ("size = -factor", "size = factor"),
    ),
    *_both(
        "histories: gradient of g without the length", "histories",
        ("dscale[...] = factor * along.sum()", "dscale[...] = along.sum()"),
        ("np.exp(scale[0]) * along.sum()", "along.sum()"),
    ),
    *_both(
        "histories: g itself taken for the length", "histories",
        ("np.multiply(unit, np.exp(scale), out=q)", "np.multiply(unit, scale, out=q)"),
        ("q[t, k] = factor * v[k]", "q[t, k] = scale[0] * v[k]"),
    ),
    *_both(
        "histories: a negative takes the triplet's gradient", "histories",
        ("np.full(B, -1), B + np.repeat", "np.arange(B), B + np.repeat"),
        ("ids[B + t], origin[B + t] = items[B + t], -1", "ids[B + t], origin[B + t] = items[B + t], t"),
    ),
    *_both(
        "histories: gradient sent to the triplets' rows", "histories",
        ("B + np.repeat(np.arange(len(users)), lengths)", "np.repeat(np.arange(len(users)), lengths)"),
        ("origin[start[s] + k] = B + s", "origin[start[s] + k] = s"),
    ),
    *_both(
        "sum of rows: -1 read as the last row", "histories",
        ("table[rows[rows >= 0]]", "table[rows]"),
        ("if index[position] >= 0:", "if True:"),
    ),
    *_both(
        "mean of owned modalities: over all of them", "histories",
        ("np.maximum(mine.sum(axis=1, keepdims=True), 1)", "mine.shape[1]"),
        ("return 1 / max(count, 1)", "return 1 / owned.shape[1]"),
    ),
    *_both(
        "mean of owned modalities: backward overwrites", "histories",
        ("dc += np.einsum", "dc[...] = np.einsum"),
        ("dc[m, r, k] += share", "dc[m, r, k] = share"),
    ),
    Mutation(
        "users: sign of the sum's gradient", "milk_np/models/milk/users.py",
        "        users *= -1", "        users *= 1",
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
    Mutation("smoothing: an item predicts itself", KP + "smoothing.py",
             "return cls(OWN + 1 - free", "return cls(OWN - free"),
    Mutation("smoothing: transposed like not", KP + "smoothing.py",
             "self.right @ (self.left.T @ x)", "self.left @ (self.right.T @ x)"),
    Mutation("smoothing: parts like those of the transpose", KP + "smoothing.py",
             "R @ self.left, self.right[items].T", "R @ self.right, self.left[items].T"),
    Mutation("smoothing: the ridge shrinks with popularity", KP + "smoothing.py",
             "** (power / 2)", "** (-power / 2)"),
    Mutation("profile: all items are a mean item", KP + "by_blocks.py",
             "/ max(popularity.sum(), 1)", "/ len(popularity)"),
    Mutation("ridge: the least set in place of the largest", KP + "ridge.py",
             "np.argmax(fits, axis=1)", "fits.shape[1] - 1 - np.argmax(fits[:, ::-1], axis=1)"),
    Mutation("blocks: coefficients of the features, not of the similarities", KP + "by_blocks.py",
             "inverse.T @ linalg", "inverse @ linalg"),
    Mutation("blocks: the user's features in the place of the least axes'", KP + "by_blocks.py",
             "[put(narrow), *bases[1:]]", "bases"),
    Mutation("blocks: histories that aren't smoothed", KP + "blocks.py",
             "        smoother.combine(smoothed, block, out)\n", ""),
    Mutation("blocks: targets smoothed like histories", KP + "blocks.py",
             "smoother.apply_transposed(Q)", "smoother.apply(Q)"),
    Mutation("directions: what lies in the basis again stays", KP + "directions.py",
             "        self._project(block)\n", ""),
    Mutation("directions: a basis begins anew without its Ritz values", KP + "directions.py",
             "self.T = np.diag(values[: self.keep])", "self.T = np.eye(self.keep)"),
    Mutation("samples: smoothed columns without what was chosen", KP + "samples.py",
             "+ mixed + mixed.T", ""),
    Mutation("products: a block of rows is left out", "kernels/cpu/gram.py",
             "for rows in row_parts(len(a), SUM_ROWS):", "for rows in row_parts(len(a) // 2, SUM_ROWS):"),
    Mutation("lists: the next list begins with the last one's sum", "kernels/cpu/lists.py",
             "total[k] = 0", "total[k] += 0"),
    Mutation("content: a missing modality is its raw row", KP + "content.py",
             "mine = owned[:, m]", "mine = np.ones(len(owned), np.bool_)"),
    Mutation("choice: errors that aren't left out", KP + "choice.py",
             "shares = inverse / np.diag(inverse)", "shares = inverse"),
    Mutation("whitening: large axes made larger", KP + "whitening.py", "** (-e / 2)", "** (e / 2)"),
    Mutation("profile: popular items of a history count more", KP + "fit.py",
             "** -settings.rarity", "** settings.rarity"),
    Mutation("profile: targets that are not divided by the variance", KP + "by_blocks.py",
             "product @ (W / variance)", "product @ W"),
    Mutation("held out: users are known by what is held out", KP + "held_out.py",
             "outside[items[inside]] = 0", "outside[items[inside]] = 1"),
    Mutation("held out: regressed on what is held out", KP + "held_out.py",
             "linalg.cho_factor(whole - grams[f])", "linalg.cho_factor(whole)"),
    Mutation("held out: smoothed columns inside stay", KP + "held_out.py", "right * ~inside", "right"),
    Mutation("held out: landmarks are held out too", KP + "held_out.py",
             "np.concatenate([np.full(L, -1), rng.permutation(n - L) % FOLDS])", "rng.permutation(n) % FOLDS"),
    Mutation("held out: a modality that isn't owned is taken", KP + "held_out.py",
             "rng.random(owned[some].shape) * owned[some]", "rng.random(owned[some].shape)"),
    Mutation("held out: equal scores are first places", "kernels/cpu/places.py",
             "np.int32(row[j] >= own)", "np.int32(row[j] > own)"),
    Mutation("by ranking: whitening that may be chance", KP + "by_ranking.py",
             "if clearly_more(ndcg(candidate), ndcg(kernel)):", "if candidate != kernel:"),
    Mutation("by ranking: noise only upwards", KP + "by_ranking.py",
             "for step in (1, -1):", "for step in (1,):"),
    Mutation("by ranking: past the peak", KP + "by_ranking.py",
             "ndcg(line[best + step]).sum() > ndcg(line[best]).sum()", "ndcg(line[best + step]).sum() > 0"),
    *_both(
        "candidates: an own item is drawn", "candidates",
        ("r + np.searchsorted(own - np.arange(len(own)), r, side=\"right\")", "r"),
        ("_free_candidate(np.int64(places[n]), ranks, start, stop)", "np.int64(places[n])"),
    ),
    *_both(
        "candidates: all rows draw alike", "candidates",
        ("mix64(np.uint64(rows[t]))", "mix64(np.uint64(0))"),
        ("_mix64(np.uint64(rows[t]))", "_mix64(np.uint64(0))"),
    ),
    *_both(
        "candidates: more drawn than are free", "candidates",
        ("min(free, out.shape[1]), free", "min(len(candidates), out.shape[1]), len(candidates)"),
        ("free = C - (stop - start)", "free = C"),
    ),
    *_both(
        "candidates: an empty slot has a score", "candidates",
        ("np.where(slots >= 0, found, 0)", "found"),
        ("if slots[t, n] >= 0 else 0", "if True else 0"),
    ),
    *_both(
        "candidates: gradient of a query without its weights", "candidates",
        ("np.add.at(dquery, t, weights * table[slots[t, n]])", "np.add.at(dquery, t, table[slots[t, n]])"),
        ("_add(dquery[t], dout[t, n], table[slots[t, n]])", "_add(dquery[t], dout[t, 0], table[slots[t, n]])"),
    ),
    *_both(
        "candidates: gradient of the table from another query", "candidates",
        ("weights * query[t])", "weights * query[t - 1])"),
        ("dout[p // N, p % N], query[p // N]", "dout[p // N, p % N], query[p // N - 1]"),
    ),
    Mutation("by ranking: one sweep", KP + "by_ranking.py",
             "for _ in range(SWEEPS):", "for _ in range(1):"),
    *_both(
        "least squares: weight of the chosen pairs left out of the system", "als",
        ("gram + weight * chosen.T @ chosen", "gram + chosen.T @ chosen"),
        ("scaled = weight * q[a]", "scaled = q[a]"),
    ),
    *_both(
        "least squares: right side without the weight", "als",
        ("(1 + weight) * chosen.sum(axis=0)", "chosen.sum(axis=0)"),
        ("right[a] += (1 + weight) * q[a]", "right[a] += q[a]"),
    ),
    *_both(
        "least squares: prior left out", "als",
        (" + penalty[r] * prior[r])", ")"),
        ("out[k] = penalty * prior[k]", "out[k] = 0"),
    ),
    Mutation("least squares: penalty left out", "kernels/cpu/als.py", "system[k, k] += penalty", "pass"),
    Mutation(
        "regression: two modalities count as one", CF + "regression.py",
        "cross * (self._weighted", "self.same * (self._weighted",
    ),
    Mutation(
        "regression: targets count whole", CF + "regression.py",
        "self.same * (self._weighted.T @ targets)", "self._weighted.T @ targets",
    ),
    Mutation(
        "regression: weights of items left out", CF + "regression.py",
        "if items is None else self._X * items[:, None]", "if items is None else self._X",
    ),
    Mutation("feature-aware iALS: prior counts whole", CF + "feature_ials.py", "ridge.same * (X @ W)", "X @ W"),
    Mutation(
        "feature-aware iALS: items weigh alike", CF + "feature_ials.py",
        "s.drop_weight, items.penalty)", "s.drop_weight)",
    ),
    Mutation(
        "penalty grows without the confidence", CF + "als.py",
        "pairs.shape[1] + alpha * np", "pairs.shape[1] + np",
    ),
    Mutation(
        "MARec: clicks not smoothed", CF + "marec.py",
        "cho_solve(cho_factor(system, lower=True, overwrite_a=True), clicks)", "clicks",
    ),
    Mutation(
        "MARec: unseen pairs weigh like seen ones", CF + "marec.py",
        "v = UNSEEN + (1 - UNSEEN) * chosen", "v = 1 + 0 * chosen",
    ),
    Mutation("MARec: intercept left out", CF + "marec.py", "np.ones_like(chosen), *(", "np.zeros_like(chosen), *("),
    Mutation("kNN: power left out", CF + "knn.py", " ** np.float32(s.knn_power)", ""),
    Mutation("kNN: items of another length", CF + "knn.py", '{"known": unit_rows(data.X)}', '{"known": data.X}'),
    Mutation(
        "SVD: last directions in place of the first", "milk_np/training/pretraining/factors.py",
        "subset_by_index=(max(0, n - dim), n - 1)", "subset_by_index=(0, min(dim, n) - 1)",
    ),
    Mutation(
        "users: new items count", CF + "base.py",
        "place, kept = np.cumsum(known) - 1, known[items]", "place, kept = np.cumsum(known) - 1, known[items] | True",
    ),
]  # fmt: skip


def proof_of(mutation: Mutation) -> Proof:
    """The tests that have to catch it."""
    if mutation.file.endswith("/als.py") and mutation.file.startswith("kernels"):
        return LEAST_SQUARES
    if mutation.file.startswith(CF):
        return RIVALS
    return CLOSED_FORM if mutation.file.startswith(KP) else PROOFS


if __name__ == "__main__":
    sys.exit(run(MUTATIONS, proof_of, sys.argv[1:]))
