"""MACs of an ONNX model by running it: sizes of all tensors as onnxruntime makes them. Nothing from the simulator."""

from __future__ import annotations

import math

import numpy as np


def macs(model, inputs):
    """Multiply-accumulates of each node that has any, by the name of its first output."""
    import onnx
    import onnxruntime

    model = onnx.ModelProto.FromString(model.SerializeToString())
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes |= {name: np.shape(value) for name, value in inputs.items()}
    own = {output.name for output in model.graph.output}
    made = [name for node in model.graph.node for name in node.output if name and name not in own]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    shapes |= {name: np.shape(value) for name, value in zip(names, session.run(None, inputs), strict=True)}
    counted = {node.output[0]: of_node(node, shapes) for node in model.graph.node}
    return {name: count for name, count in counted.items() if count}


def of_node(node, shapes):
    """Results times what each sums up."""
    given = [shapes.get(name, ()) for name in node.input]
    out = math.prod(shapes.get(node.output[0], ()))
    attributes = {a.name: a.i for a in node.attribute}
    if node.op_type in ("Conv", "ConvInteger"):
        return out * math.prod(given[1][1:])
    if node.op_type == "QLinearConv":
        return out * math.prod(given[3][1:])
    if node.op_type == "ConvTranspose":
        return math.prod(given[0]) * math.prod(given[1][1:])
    if node.op_type in ("MatMul", "MatMulInteger", "QLinearMatMul"):
        return out * given[0][-1]
    if node.op_type == "Gemm":
        return out * given[0][0 if attributes.get("transA") else 1]
    if node.op_type in ("LSTM", "GRU", "RNN"):
        steps_times_batch = math.prod(given[0][:2])
        return steps_times_batch * (math.prod(given[1]) + math.prod(given[2]))
    return 0
