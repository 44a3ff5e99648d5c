"""Recurrent networks as ONNX graphs, built node by node: Gather, RNN/GRU/LSTM, MatMul; batch and time free, states in and out.

The minimal GRU, for which ONNX has no operator, is a product and a Scan over time.

torch's own exporter unrolls an RNN to the length of its example and bakes the batch of an LSTM in (torch 2.13, measured); the graph
is short enough to be written down. Needs the package `onnx`. Not here: Transformers, which go to Hugging Face's format or GGUF.

Axes: B batch, T positions, D embedding width, U recurrent units, L layers, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from llm_core.config.recurrent import GRUConfig, LSTMConfig, MinGRUConfig, RNNConfig
from llm_core.models.rnn import RecurrentModel

OPSET = 18
IR_VERSION = 9
_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}
# Where ONNX's gates lie in torch's order: LSTM i, o, f, c from i, f, g, o; GRU z, r, h from r, z, n.
_LSTM_ORDER, _GRU_ORDER, _RNN_ORDER = (0, 3, 1, 2), (1, 0, 2), (0,)

Array = npt.NDArray[np.float32]


def export_onnx(model: RecurrentModel, path: Path) -> None:
    """Write the network as one float32 ONNX file.

    Inputs: `tokens` int64 (B, T), `hidden` (L, B, U), for an LSTM `cell` (L, B, U); zeros begin a text.
    Outputs: `logits` (B, T, V), `last_hidden` and `last_cell` to go on from.
    """
    import onnx

    path.write_bytes(onnx_graph(model).SerializeToString())
    onnx.checker.check_model(str(path), full_check=True)


def onnx_graph(model: RecurrentModel) -> Any:
    """The graph as an `onnx.ModelProto`."""
    from onnx import TensorProto, helper, numpy_helper

    config = model.config
    num_layers, has_cell = config.num_layers, isinstance(config, LSTMConfig)
    tensors = {"embedding": _array(model.embed_tokens.weight), "head": _array(_head(model)).T.copy()}
    nodes = [
        helper.make_node("Gather", ["embedding", "tokens"], ["embedded"], axis=0),
        helper.make_node("Transpose", ["embedded"], ["layer_0"], perm=[1, 0, 2]),
        *_split(helper, "hidden", num_layers),
        *(_split(helper, "cell", num_layers) if has_cell else []),
    ]
    axis_name, axis = ("first_axis", 0) if isinstance(config, MinGRUConfig) else ("direction_axis", 1)
    for index, layer in enumerate(model.layers):
        if isinstance(config, MinGRUConfig):
            tensors |= _minimal_gru_arrays(layer, index)
            nodes += _minimal_gru_nodes(helper, index, config.hidden_size)
            continue
        for name, array in _layer_arrays(config, layer).items():
            tensors[f"{name}_{index}"] = array
        inputs = [f"layer_{index}", f"W_{index}", f"R_{index}", f"B_{index}", "", f"hidden_{index}"]
        outputs = [f"directions_{index}", f"last_hidden_{index}"]
        if has_cell:
            inputs.append(f"cell_{index}")
            outputs.append(f"last_cell_{index}")
        nodes.append(helper.make_node(_operator(config), inputs, outputs, **_attributes(config)))
        nodes.append(helper.make_node("Squeeze", [f"directions_{index}", "direction_axis"], [f"layer_{index + 1}"]))
    states = ["hidden", "cell"] if has_cell else ["hidden"]
    nodes += [
        helper.make_node("Transpose", [f"layer_{num_layers}"], ["last_layer"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["last_layer", "head"], ["logits"]),
        *(
            helper.make_node(
                "Concat", [f"last_{state}_{index}" for index in range(num_layers)], [f"last_{state}"], axis=0
            )
            for state in states
        ),
    ]
    shape = [num_layers, "batch", config.hidden_size]
    number = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "glassbox-recurrent",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "time"]),
            *(helper.make_tensor_value_info(state, number, shape) for state in states),
        ],
        [
            helper.make_tensor_value_info("logits", number, ["batch", "time", model.vocabulary_size]),
            *(helper.make_tensor_value_info(f"last_{state}", number, shape) for state in states),
        ],
        [
            *(numpy_helper.from_array(array, name) for name, array in tensors.items()),
            numpy_helper.from_array(np.array([axis], dtype=np.int64), axis_name),
        ],
    )
    return helper.make_model(
        graph,
        producer_name="glassbox",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )


def _split(helper: Any, state: str, num_layers: int) -> list[Any]:
    """One state for each layer: `hidden_0`, `hidden_1`, …"""
    names = [f"{state}_{index}" for index in range(num_layers)]
    return [helper.make_node("Split", [state], names, axis=0, num_outputs=num_layers)]


def _minimal_gru_arrays(layer: nn.Module, index: int) -> dict[str, Array]:
    weights = {name: _array(parameter) for name, parameter in layer.named_parameters()}
    return {f"W_{index}": weights["weight_ih_l0"].T.copy(), f"B_{index}": weights["bias_ih_l0"]}


def _minimal_gru_nodes(helper: Any, index: int, width: int) -> list[Any]:
    """z and n for all steps at once, then h + z · (n - h) step by step."""
    number = 1  # TensorProto.FLOAT
    row = ["batch", width]
    step = helper.make_graph(
        [
            helper.make_node("Sub", ["content", "old"], ["change"]),
            helper.make_node("Mul", ["gate", "change"], ["written"]),
            helper.make_node("Add", ["old", "written"], ["new"]),
            helper.make_node("Identity", ["new"], ["shown"]),
        ],
        f"minimal_gru_step_{index}",
        [helper.make_tensor_value_info(name, number, row) for name in ("old", "gate", "content")],
        [helper.make_tensor_value_info(name, number, row) for name in ("new", "shown")],
    )
    return [
        helper.make_node("MatMul", [f"layer_{index}", f"W_{index}"], [f"product_{index}"]),
        helper.make_node("Add", [f"product_{index}", f"B_{index}"], [f"projected_{index}"]),
        helper.make_node("Split", [f"projected_{index}"], [f"opening_{index}", f"n_{index}"], axis=-1, num_outputs=2),
        helper.make_node("Sigmoid", [f"opening_{index}"], [f"z_{index}"]),
        helper.make_node("Squeeze", [f"hidden_{index}", "first_axis"], [f"old_{index}"]),
        helper.make_node(
            "Scan",
            [f"old_{index}", f"z_{index}", f"n_{index}"],
            [f"new_{index}", f"layer_{index + 1}"],
            num_scan_inputs=2,
            body=step,
        ),
        helper.make_node("Unsqueeze", [f"new_{index}", "first_axis"], [f"last_hidden_{index}"]),
    ]


def _operator(config: RNNConfig | GRUConfig | LSTMConfig) -> str:
    return {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}[config.kind]


def _attributes(config: RNNConfig | GRUConfig | LSTMConfig) -> dict[str, Any]:
    if isinstance(config, GRUConfig):
        # torch multiplies with the reset gate after the recurrent product.
        return {"hidden_size": config.hidden_size, "linear_before_reset": 1}
    if isinstance(config, RNNConfig):
        return {"hidden_size": config.hidden_size, "activations": [_ACTIVATIONS[config.nonlinearity]]}
    return {"hidden_size": config.hidden_size}


def _layer_arrays(config: RNNConfig | GRUConfig | LSTMConfig, layer: nn.Module) -> dict[str, Array]:
    """W, R and B of one layer in ONNX's order of gates, with its axis for directions."""
    order = {"rnn": _RNN_ORDER, "gru": _GRU_ORDER, "lstm": _LSTM_ORDER}[config.kind]
    weights = {name: _in_order(_array(parameter), order) for name, parameter in layer.named_parameters()}
    biases = np.concatenate((weights["bias_ih_l0"], weights["bias_hh_l0"]))
    return {"W": weights["weight_ih_l0"][None], "R": weights["weight_hh_l0"][None], "B": biases[None]}


def _in_order(array: Array, order: tuple[int, ...]) -> Array:
    blocks = np.split(array, len(order))
    return np.concatenate([blocks[place] for place in order])


def _head(model: RecurrentModel) -> torch.Tensor:
    return model.embed_tokens.weight if model.lm_head is None else model.lm_head.weight


def _array(tensor: torch.Tensor) -> Array:
    return tensor.detach().float().cpu().numpy()
