"""The int8 scheme of tensorflow-model-optimization, with three of its defaults mended.

- Its ranges of activations start at -6 .. 6 and forget that by 0.001 a step: after the 80 steps of a short training
  they are still wrong. Ours start with the first batch.
- Its kernel of a DepthwiseConv2D has one scale for all channels, though the .tflite has one for each.
- A layer may stay in float; what it gives is rounded to int8 where an int8 layer takes it.

Importing this loads tensorflow-model-optimization.
"""

from __future__ import annotations

from typing import Any

from edgebig.keras import keras, load_tfmot, tf

_default: Any = load_tfmot("quantization.keras.default_8bit.default_8bit_quantize_scheme")
_configs: Any = load_tfmot("quantization.keras.default_8bit.default_8bit_quantize_configs")
_registry: Any = load_tfmot("quantization.keras.default_8bit.default_8bit_quantize_registry")
_layout: Any = load_tfmot("quantization.keras.default_8bit.default_8bit_quantize_layout_transform")
_config: Any = load_tfmot("quantization.keras.quantize_config")
_quantizers: Any = load_tfmot("quantization.keras.quantizers")

# Of the range of a batch in the moving average; until so many batches were seen it is their mean.
_SHARE = 0.01


class Range(_quantizers.MovingAverageQuantizer):  # type: ignore[misc]  # tfmot has no types.
    """int8 over the mean range of the last hundred batches or so, the first included."""

    def __init__(self) -> None:
        super().__init__(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        seen = layer.add_weight(f"{name}_seen", initializer="zeros", trainable=False)
        return {**super().build(tensor_shape, name, layer), "seen": seen}

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **_: Any) -> Any:
        low, high = weights["min_var"], weights["max_var"]
        if not training:
            return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)
        share = tf.maximum(1.0 / (weights["seen"].assign_add(1.0)), _SHARE)
        # 0 is a number of every int8 tensor: the border of a padded picture is 0.
        low = low.assign_add(share * (tf.minimum(tf.reduce_min(inputs), 0.0) - low))
        high = high.assign_add(share * (tf.maximum(tf.reduce_max(inputs), 0.0) - high))
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)


class IslandEnd(Range):
    """The int8 range of what a float layer gives.

    Between two ranges the converter would make the layer int8 by itself, with its weights rounded untrained. It
    knows no int8 SEGMENT_SUM, which stands between them then, over the one picture of the batch: `convert` takes
    it out.
    """

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **_: Any) -> Any:
        if inputs.shape[0] == 1 and not training:
            inputs = tf.reshape(tf.math.segment_sum(inputs, [0]), inputs.shape)
        return self._rounded(inputs, training, weights)

    def _rounded(self, inputs: Any, training: bool, weights: dict[str, Any]) -> Any:
        return super().__call__(inputs, training, weights)


class Probabilities(IslandEnd):
    """Of a float layer that ends in probabilities: their fixed range, with the step that an int8 softmax has."""

    def _rounded(self, inputs: Any, training: bool, weights: dict[str, Any]) -> Any:
        return tf.quantization.fake_quant_with_min_max_args(inputs, 0.0, 255 / 256)


class DepthwiseKernel(_quantizers.LastValueQuantizer):  # type: ignore[misc]
    """(height, width, channels, multiplier) with a scale for each channel that comes out."""

    def __init__(self) -> None:
        super().__init__(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        built: dict[str, Any] = super().build([tensor_shape[-2] * tensor_shape[-1]], name, layer)
        return built

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **_: Any) -> Any:
        height, width, channels, multiplier = inputs.shape
        flat = tf.reshape(inputs, (height, width, 1, channels * multiplier))
        return tf.reshape(super().__call__(flat, training, weights), inputs.shape)


class _Mended(_config.QuantizeConfig):  # type: ignore[misc]
    """What `inner` says is rounded, by our quantizers."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        found: list[Any] = self.inner.get_weights_and_quantizers(layer)
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            return [(weight, DepthwiseKernel()) for weight, _ in found]
        return found

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        return [(activation, Range()) for activation, _ in self.inner.get_activations_and_quantizers(layer)]

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return [Range() for _ in self.inner.get_output_quantizers(layer)]

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        self.inner.set_quantize_weights(layer, quantize_weights)

    def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
        self.inner.set_quantize_activations(layer, quantize_activations)

    def get_config(self) -> dict[str, Any]:
        return {"inner": self.inner}


class FloatConfig(_configs.NoOpQuantizeConfig):  # type: ignore[misc]
    """Of a layer that stays in float; tfmot folds no layer that has a config of its own into another."""

    stays_in_float = True  # which `convert` asks for

    def __init__(self, rounds_output: bool) -> None:
        self.rounds_output = rounds_output

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        if not self.rounds_output:
            return []
        last = getattr(layer, "activation", None)
        probabilities = isinstance(layer, keras.layers.Softmax) or last in (
            keras.activations.softmax,
            keras.activations.sigmoid,
        )
        return [Probabilities() if probabilities else IslandEnd()]

    def get_config(self) -> dict[str, Any]:
        return {"rounds_output": self.rounds_output}


class _Registry(_registry.Default8BitQuantizeRegistry):  # type: ignore[misc]
    def get_quantize_config(self, layer: Any) -> _Mended:
        return _Mended(super().get_quantize_config(layer))


class _Layout(_layout.Default8BitQuantizeLayoutTransform):  # type: ignore[misc]
    def apply(self, model: Any, layer_quantize_map: dict[str, Any]) -> Any:
        model, configs = super().apply(model, layer_quantize_map)
        for of_layer in configs.values():
            config = of_layer.get("quantize_config")
            if config is not None and not isinstance(config, FloatConfig):
                of_layer["quantize_config"] = _Mended(config)
        return model, configs


class Scheme(_default.Default8BitQuantizeScheme):  # type: ignore[misc]
    """For tfmot's `quantize_apply`."""

    def get_layout_transformer(self) -> _Layout:
        return _Layout()

    def get_quantize_registry(self) -> _Registry:
        return _Registry()


def scope() -> Any:
    """In which models with annotated layers may be copied."""
    return keras.utils.custom_object_scope({"FloatConfig": FloatConfig})
