"""Each term of each backward pass replaced by a wrong one: finite differences have to tell."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from nn_cases import disagreements, of_module
from nn_sizes import MODULES, REDUCTIONS, Sizes, library, planted

PLANTED = {
    "linear": [
        ("product(dout, W.T) if need_dx", "product(dout, W.T) * 2 if need_dx"),
        ("return dx, product_transposed(x, dout),", "return dx, product_transposed(x, abs(dout)),"),
        ("dout.sum(axis=0) if biased", "dout.mean(axis=0) if biased"),
        ("    kernels.extract_backward(*table, ids,", "    kernels.extract_backward(*table, ids[::-1].copy(),"),
        ("split(dout, cache, axis=1)", "split(dout[:, ::-1], cache, axis=1)"),
        ("return None, *_of_rows_backward(dout,", "return None, *_of_rows_backward(2 * dout,"),
        ("embedding_backward(dout, of_slots), of_product)", "embedding_backward(dout[::-1], of_slots), of_product)"),
        ("db if biased else None", "-db if biased else None"),
        ("(linear_backward(dout, cache, need_dx=need_dx) for", "(linear_backward(-dout, cache, need_dx=need_dx) for"),
        ("concatenate(weights)", "concatenate(weights[::-1])"),
        ("dW, biases[0]", "dW, biases[0] * 2"),
    ],
    "embedding": [
        ("return scatter_add(ids, dout, R)", "return scatter_add(ids, dout[::-1], R)"),
        ("return _sums(ids[somebody], rows[somebody], R) if", "return _sums(abs(ids), rows, R) if"),
        ("ids[somebody], return_inverse=True)", "ids[somebody], return_inverse=True)\n    slot = slot[::-1]"),
        ("_sums(slot, dout[somebody], len(unique))", "_sums(slot, dout[: len(slot)], len(unique))"),
    ],
    "activations": [
        ("dout * (1 - cache * cache)", "dout * (1 - cache)"),
        ("dout * cache * (1 - cache)", "dout * cache"),
        ("dout * sigmoid(cache)", "dout * sigmoid(-cache)"),
        ("positive.astype(dout.dtype), slope)", "positive.astype(dout.dtype), 1)"),
        ("maximum(positive.astype", "minimum(positive.astype"),
    ],
    "batch_norm": [
        ("(dout * unit).sum(axis=0)", "(dout * unit).mean(axis=0)"),
        ("dbeta = dout.sum(axis=0)", "dbeta = (dout * unit).sum(axis=0)"),
        ("dunit = dout if gamma is None else dout * gamma", "dunit = dout"),
        ("along = (dunit * unit).mean(axis=0)", "along = (dunit * unit).sum(axis=0)"),
        ("dunit - dunit.mean(axis=0) - unit * along", "dunit - unit * along"),
        ("dunit - dunit.mean(axis=0) - unit * along", "dunit - dunit.mean(axis=0)"),
        ("if train and len(dout):", "if len(dout):"),
        ("return dunit * inverse, dgamma", "return dunit * inverse * inverse, dgamma"),
    ],
    "dropout": [
        ("else _masked(dout, cache)", "else _masked(dout, (~cache[0], cache[1]))"),
        ("else _masked(dout, cache)", "else _masked(dout, (cache[0], 1.0))"),
        ("else _masked(dout, cache)", "else dout * cache[1]"),
    ],
    "row_norm": [
        ("(dout - out * (out * dout)", "(dout + out * (out * dout)"),
        ("(dout - out * (out * dout).sum(axis=-1, keepdims=True)) * inverse", "dout * inverse"),
        (".sum(axis=-1, keepdims=True)) * inverse", ".sum(axis=-1, keepdims=True))"),
        ("out * (out * dout).sum(axis=-1, keepdims=True)", "out * out * dout"),
    ],
    "margins": [
        ("return dout[:, None] * b, dout[:, None] * a", "return dout[:, None] * a, dout[:, None] * a"),
        ("return dout[:, None] * b, dout[:, None] * a", "return dout[:, None] * b, dout[:, None] * b"),
        ("return dout[:, None] * difference, dbetter, -dbetter",
         "return -dout[:, None] * difference, dbetter, -dbetter"),
        ("return dout[:, None] * difference, dbetter, -dbetter",
         "return dout[:, None] * difference, dbetter, dbetter"),
        ("dbetter = dout[:, None] * user", "dbetter = user"),
        ('"bn,bnk->bk", dout, candidates', '"bn,bnk->bk", dout, abs(candidates)'),
        ("dout[:, :, None] * query[:, None, :]", "dout[:, :, None] * query[::-1, None, :]"),
        ("kernels.candidate_dots_backward(np.ascontiguousarray(dout),",
         "kernels.candidate_dots_backward(-np.ascontiguousarray(dout),"),
        ("query, table, slots, dquery, dtable)", "query, table, slots[::-1].copy(), dquery, dtable)"),
        ("return dout @ b, dout.T @ a", "return 2 * dout @ b, dout.T @ a"),
        ("return dout @ b, dout.T @ a", "return dout @ b, -dout.T @ a"),
    ],
    "losses": [
        ("return -sigmoid(-margin) *", "return -sigmoid(margin) *"),
        ("return -sigmoid(-margin) *", "return sigmoid(-margin) *"),
        ("da = 2 * difference *", "da = difference *"),
        ("da = 2 * difference * reduce_backward(dout, reduced)\n    return da, -da",
         "da = 2 * difference * reduce_backward(dout, reduced)\n    return da, da"),
        (".sign(difference) *", ".sign(-difference) *"),
        (".sign(difference) * reduce_backward(dout, reduced)\n    return da, -da",
         ".sign(difference) * reduce_backward(dout, reduced)\n    return da, da"),
        ("return 2 * reduce_backward(dout, reduced)[:, None] * x",
         "return reduce_backward(dout, reduced)[:, None] * x"),
        ("where(length > 0, length, 1))[:, None] * x", "where(length > 0, length * length, 1))[:, None] * x"),
        ("dlosses = centred * (2 * share)", "dlosses = centred * share"),
        ("dlosses *= dout", "dlosses *= abs(dout)"),
        ("each * (share - wanted)", "each * share"),
        ("each * (share - wanted)", "each * (wanted - share)"),
        ("each * wanted * beyond", "each * wanted * (beyond + 1)"),
        ("each * wanted * beyond", "each * beyond"),
    ],
    "softmax": [
        ("out * (dout - (out * dout)", "out * (dout + (out * dout)"),
        ("out * (dout - (out * dout).sum(axis=axis, keepdims=True))", "out * dout"),
        ("return out * (dout -", "return (dout -"),
        ("(out * dout).sum(axis=axis", "(out * dout).sum(axis=1"),
        ('einsum("nk,pnk->np", dout, parts)', 'einsum("nk,pnk->np", abs(dout), parts)'),
        ("ascontiguousarray(weights.T)[:, :, None] * dout", "ascontiguousarray(weights.T)[::-1, :, None] * dout"),
    ],
    "contrastive": [
        ("reduce_backward(dout, reduced)[:, None] / temperature", "reduce_backward(dout, reduced)[:, None]"),
        ("return slope * factor", "return slope"),
        ("slope[at] = -rest / total", "slope[at] = rest / total"),
        ("slope[at] = -rest / total", "slope[at] = own / total"),
        ("slope /= total[:, None]", "slope /= rest[:, None] + 1"),
        ("product(slope, candidates) * factor", "product(slope, abs(candidates)) * factor"),
        ("product(slope, candidates) * factor", "product(slope, candidates)"),
        ("product_transposed(slope, a * factor)", "product_transposed(slope, a)"),
        ("da += dcandidates[others:]", "da += dcandidates[:others]"),
        ("da += dcandidates[others:]", "pass"),
        ("return da, dcandidates[:others]", "return da, 2 * dcandidates[:others]"),
        ("shares.sum(axis=1)[:, None] * x - shares @ x", "shares @ x"),
        ("shares.sum(axis=1)[:, None] * x - shares @ x", "shares.sum(axis=1)[:, None] * x"),
        ("dx *= -4 * t * dout", "dx *= -2 * t * dout"),
        ("dx *= -4 * t * dout", "dx *= -4 * dout"),
    ],
    "gaussian": [
        ("dmean = each * pull", "dmean = -each * pull"),
        ("return dmean, each * (ratio - 1) / 2,", "return dmean, each * ratio / 2,"),
        ("-dmean, each * (1 - ratio - far) / 2", "dmean, each * (1 - ratio - far) / 2"),
        ("each * (1 - ratio - far) / 2", "each * (1 - ratio) / 2"),
        ("each * (1 - ratio - far) / 2", "each * (1 - far) / 2"),
        ("return each * mean, each * growth / 2", "return each * mean / 2, each * growth / 2"),
        ("return each * mean, each * growth / 2", "return each * mean, each * growth"),
        ("return dout, dout * cache / 2", "return dout, dout * cache"),
        ("return dout, dout * cache / 2", "return 2 * dout, dout * cache / 2"),
    ],
    "experts": [
        ("GATES[gate][1](dgates, gated)", "dgates"),
        ("tanh_backward(dparts, tanhs)", "dparts"),
        ("dx + sum(dx_parts) if need_dx", "dx if need_dx"),
        ("dx + sum(dx_parts) if need_dx", "sum(dx_parts) if need_dx"),
        ("stack(dW), stack(db)", "stack(dW[::-1]), stack(db)"),
        ("stack(dW), stack(db)", "stack(dW), stack(db[::-1])"),
        ("return dx, dW_gate, db_gate,", "return dx, dW_gate * 2, db_gate,"),
        ("return dx, dW_gate, db_gate,", "return dx, dW_gate, -db_gate,"),
    ],
    "fusion": [
        ("dscores = softmax_backward(dweights, weighed)", "dscores = dweights"),
        ("tanh_backward(dscores[:, None] * query, hidden)", "dscores[:, None] * query"),
        ("dscores[:, None] * query,", "dscores[:, None] * abs(query),"),
        ("return dparts + dx.reshape(dparts.shape),", "return dparts,"),
        ("return dparts + dx.reshape(dparts.shape),", "return dx.reshape(dparts.shape),"),
        (" dW, db, dscores @ hidden", " -dW, db, dscores @ hidden"),
        (" dW, db, dscores @ hidden", " dW, -db, dscores @ hidden"),
        ("dscores @ hidden", "abs(dscores) @ hidden"),
    ],
    "switch": [
        ("where(mask[:, None], dout, zero), db", "where(mask[:, None], zero, dout), db"),
        ("where(mask[:, None], dout, zero), db", "where(mask[:, None], dout, dout), db"),
        ("where(mask[:, None], zero, dout) if other", "where(mask[:, None], dout, zero) if other"),
    ],
    "penalty": [
        ("gradient + (2 * weight) * table", "gradient + weight * table"),
        ("gradients[name] = gradient + (2 * weight) * table", "pass"),
        ("(table * table).sum()", "table.sum()"),
    ],
    "graph": [
        ("return _product(graph.transposed, dense", "return 2 * _product(graph.transposed, dense"),
        ("_compressed(csr_array(x), dtype, xp) for x in (matrix, matrix.T)",
         "_compressed(csr_array(x), dtype, xp) for x in (matrix, abs(matrix.T) > 0)"),
        ("return _mean_of_powers(graph.transposed, dense, layers, used=used)",
         "return _mean_of_powers(graph.matrix, dense, layers, used=used)"),
        ("return _mean_of_powers(graph.transposed, dense, layers, used=used)",
         "return _mean_of_powers(graph.transposed, dense, layers - 1, used=used)"),
        ("used=used, **last), None", "used=used, **last), used"),
        ("dense = scatter_add(rows, dout, R)", "dense = scatter_add(rows[::-1], dout, R)"),
        ("used[rows] = True", "used[rows[1:]] = True"),
    ],
}  # fmt: skip

SEEDS = (0, 1, 3)
"""Under the last one the gradient of a scalar output is negative."""
TRIALS = [{"seed": seed, "n": n, "reduction": reduction} for seed in SEEDS for n in (2, 3) for reduction in REDUCTIONS]


def caught(module, nn):
    """Whether finite differences disagree with a block of `module` in one of the trials."""
    return any(disagreements(name, Sizes(**trial), nn) for trial in TRIALS for name in of_module(module))


@pytest.mark.parametrize("module", MODULES)
def test_without_an_error_nothing_is_caught(module):
    assert not caught(module, library())


@pytest.mark.parametrize(("module", "old", "new"), [(m, *pair) for m, pairs in PLANTED.items() for pair in pairs])
def test_a_wrong_term_is_caught(module, old, new):
    assert caught(module, library(**{module: planted(module, old, new)}))


@pytest.mark.parametrize("module", MODULES)
def test_every_backward_pass_has_an_error_planted(module):
    source = Path(import_module(f"milk_np.nn.{module}").__file__).read_text()
    starts = [(found.start(), found.group(1)) for found in re.finditer(r"^def (\w+)\(", source, re.MULTILINE)]
    touched = {
        max((start, name) for start, name in starts if start <= source.index(old))[1] for old, _ in PLANTED[module]
    }
    backward = {name for _, name in starts if name.endswith(("_backward", "_backward_rows"))}
    assert backward or module == "penalty"  # whose gradient is added to another
    assert backward <= touched
