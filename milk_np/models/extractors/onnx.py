"""The item encoder as an ONNX graph: for services that have features of an item and another runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import SettingsError

OPSET = 17
IR_VERSION = 9
"""Versions that runtimes of the last years read."""


def encoder_onnx(
    modalities: Sequence[str],
    fills: Sequence[NDArray[np.float32]],
    W: Sequence[NDArray[Any]],
    b: Sequence[NDArray[Any]],
) -> bytes:
    """z = (1/M) sum_m (x^m / |x^m| W^m + b^m), x^m being the row of `fills` (D_m) where an item lacks modality m.

    Inputs: one (n, D_m) float32 by the name of each modality, and "owned" (n, M) bool. Output: "vector" (n, K).
    """
    from onnx import TensorProto, checker, helper

    nodes = [node for m in range(len(modalities)) for node in _modality(helper, m, modalities[m])]
    nodes.append(helper.make_node("Mean", [f"c{m}" for m in range(len(modalities))], ["vector"]))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", len(W[m])]) for m, name in enumerate(modalities)
    ]
    inputs.append(helper.make_tensor_value_info("owned", TensorProto.BOOL, ["n", len(modalities)]))
    output = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", W[0].shape[1]])
    graph = helper.make_graph(nodes, "item_encoder", inputs, [output], list(_constants(fills, W, b)))
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="milk_np", ir_version=IR_VERSION
    )
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _modality(helper: Any, m: int, name: str) -> Iterator[Any]:
    """Nodes from raw rows to c^m. A row of zeros stays one, as in training."""
    yield helper.make_node("Gather", ["owned", f"number{m}"], [f"has{m}"], axis=1)
    yield helper.make_node("Where", [f"has{m}", name, f"fill{m}"], [f"x{m}"])
    yield helper.make_node("ReduceL2", [f"x{m}"], [f"norm{m}"], axes=[1], keepdims=1)
    yield helper.make_node("Greater", [f"norm{m}", "zero"], [f"some{m}"])
    yield helper.make_node("Where", [f"some{m}", f"norm{m}", "one"], [f"length{m}"])
    yield helper.make_node("Div", [f"x{m}", f"length{m}"], [f"unit{m}"])
    yield helper.make_node("Gemm", [f"unit{m}", f"W{m}", f"b{m}"], [f"c{m}"])


def _constants(fills: Sequence[Any], W: Sequence[Any], b: Sequence[Any]) -> Iterator[Any]:
    from onnx import numpy_helper

    yield numpy_helper.from_array(np.zeros((), np.float32), "zero")
    yield numpy_helper.from_array(np.ones((), np.float32), "one")
    for m, arrays in enumerate(zip(fills, W, b, strict=True)):
        yield numpy_helper.from_array(np.array([m], np.int64), f"number{m}")
        for name, array in zip(("fill", "W", "b"), arrays, strict=True):
            yield numpy_helper.from_array(np.ascontiguousarray(array, np.float32), f"{name}{m}")


def constant_fills(imputer: Any) -> list[NDArray[np.float32]]:
    """The row (D_m) that stands for a missing one, by modality; SettingsError if it isn't the same for all items."""
    none = np.zeros((0, 0), np.float32)
    if imputer.name not in ("zero", "mean"):
        raise SettingsError(
            f"impute {imputer.name}: an ONNX encoder takes the same row for all items that lack a modality, so it "
            "needs a model trained with --impute mean or zero"
        )
    rows = dict.fromkeys(imputer.modalities, none)
    missing = np.zeros(0, np.intp)
    return [imputer._estimate(rows, none.astype(np.bool_), missing, name)[0] for name in imputer.modalities]
