"""A .tflite without what only tools look at: names, signatures and metadata. Nothing of what it computes changes."""

from __future__ import annotations

from edgebig.tflitefile import drop_unused_buffers, pack_model, unpack_model


def strip(model: bytes, name: str) -> bytes:
    """The same graph with nothing but what a runtime needs, and no files behind it.

    Tools that address inputs by name (adb's benchmark, signature runners) cannot use it; labels are in the card alone.
    What biases are quantized by stays, though it follows from inputs and weights: without it XNNPACK leaves every
    convolution to kernels that are several times slower. Raises EdgebigError where it is no .tflite.
    """
    tree = unpack_model(model, name)
    tree.signatureDefs, tree.metadata, tree.metadataBuffer, tree.description = None, None, None, None
    for graph in tree.subgraphs:
        graph.name = None
        for tensor in graph.tensors:
            tensor.name = None
            if tensor.quantization is not None:
                tensor.quantization.min = tensor.quantization.max = None
            # Buffer 0 is the empty one, which every tensor without data may have.
            data = tree.buffers[tensor.buffer].data
            if data is None or not len(data):
                tensor.buffer = 0
    drop_unused_buffers(tree)
    return pack_model(tree, {})
