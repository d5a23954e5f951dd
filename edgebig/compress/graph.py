"""A functional model as a table of its layers, to be changed and built anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebig.keras import keras, tf


@dataclass
class Node:
    """A layer that is called once: its class and settings, its weights, and what it is called with.

    `listed`: its inputs are given as a list. `shape`: of its one input without the batch, () where it has several.
    """

    kind: Any
    config: dict[str, Any]
    weights: list[npt.NDArray[Any]]
    sources: list[str]
    listed: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int | None, ...] = ()

    @property
    def class_name(self) -> str:
        """Of a layer of Keras; a class of the user's own may have a built-in's name, and gives ""."""
        return self.kind.__name__ if self.kind.__module__.startswith("tf_keras.") else ""

    @property
    def activation(self) -> str:
        """By name; "linear" where it has none, "" where it is a function of the user's own."""
        found = self.config.get("activation") or "linear"
        return found if isinstance(found, str) else ""


class NotATable(Exception):
    """The model calls a layer twice, or in a way that the table does not hold."""


class Graph:
    """The layers of a model by name, sources first, and the name of the one that gives its output."""

    def __init__(self, model: Any) -> None:
        """Raises NotATable. Models inside the model are in `opened`, and their layers are in the table."""
        self.name = model.name
        self.nodes: dict[str, Node] = {}
        self.opened: list[str] = []
        (self.output,) = self._read(model, None, "")

    def _read(self, model: Any, source: str | None, prefix: str) -> list[str]:
        """Puts the layers of `model` in; its input is what `source` gives. Gives the names of its outputs."""
        if (
            not getattr(model, "_is_graph_network", False)
            or len(model.inputs) != 1
            or len(model.outputs) != 1
        ):
            raise NotATable
        names: dict[int, str] = {}
        # A built Sequential has these too; `layers` alone does not tell how they are called.
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                layer = node.layer
                if id(layer) in names:
                    raise NotATable
                if isinstance(layer, keras.layers.InputLayer) and source is not None:
                    names[id(layer)] = source
                    continue
                if isinstance(layer, keras.Model):
                    given, *more = self._sources(node, names)
                    if more:
                        raise NotATable
                    (names[id(layer)],) = self._read(layer, given, f"{layer.name}_")
                    self.opened.append(layer.name)
                    continue
                names[id(layer)] = self._put(node, names, prefix)
        return [names[id(tensor._keras_history.layer)] for tensor in model.outputs]

    def _put(self, node: Any, names: dict[int, str], prefix: str) -> str:
        layer = node.layer
        name = layer.name if layer.name not in self.nodes else self.free(f"{prefix}{layer.name}")
        config = layer.get_config() | {"name": name}
        sources = self._sources(node, names)
        shape = (
            tuple(layer.input_shape[1:]) if len(sources) == 1 and isinstance(layer.input_shape, tuple) else ()
        )
        given = node.call_args[0] if node.call_args else None
        self.nodes[name] = Node(
            type(layer), config, layer.get_weights(), sources, isinstance(given, list | tuple), dict(node.call_kwargs),
            shape,
        )  # fmt: skip
        return name

    def _sources(self, node: Any, names: dict[int, str]) -> list[str]:
        if node.is_input:
            return []
        tensors = tf.nest.flatten([node.call_args, node.call_kwargs])
        # Anything else that it is called with: a number, a second tensor as an argument.
        if len(node.call_args) != 1 or any(isinstance(value, tf.Tensor) for value in tensors):
            raise NotATable
        if any(hasattr(value, "_keras_history") for value in tf.nest.flatten(node.call_kwargs)):
            raise NotATable
        given = tf.nest.flatten(node.call_args)
        if not all(hasattr(value, "_keras_history") for value in given):
            raise NotATable
        return [names[id(value._keras_history.layer)] for value in given]

    def takers(self, name: str) -> list[str]:
        return [other for other, node in self.nodes.items() if name in node.sources]

    def only_taker(self, name: str) -> str | None:
        """The one layer that takes what `name` gives, where nothing else does and it is not the output."""
        takers = self.takers(name)
        return takers[0] if len(takers) == 1 and name != self.output else None

    def remove(self, name: str) -> None:
        """Takes out a layer of one source, whose takers take that then."""
        (source,) = self.nodes.pop(name).sources
        self._redirect(name, source)

    def insert_after(self, name: str, new: str, kind: Any, **settings: Any) -> None:
        """A layer without weights that takes what `name` gives, in front of its takers."""
        self._redirect(name, new)
        node = Node(kind, {**kind(**settings).get_config(), "name": new}, [], [name])
        items = list(self.nodes.items())
        place = 1 + list(self.nodes).index(name)
        self.nodes = dict([*items[:place], (new, node), *items[place:]])

    def _redirect(self, old: str, new: str) -> None:
        for node in self.nodes.values():
            node.sources = [new if source == old else source for source in node.sources]
        self.output = new if self.output == old else self.output

    def free(self, name: str) -> str:
        """`name`, or with a number behind it where a layer has that already."""
        found, number = name, 1
        while found in self.nodes:
            number += 1
            found = f"{name}_{number}"
        return found

    def build(self) -> Any:
        """A functional model of the table, with its weights."""
        tensors: dict[str, Any] = {}
        image = None
        for name, node in self.nodes.items():
            layer = node.kind.from_config(node.config)
            if isinstance(layer, keras.layers.InputLayer):
                image = tensors[name] = layer.output
                continue
            given = [tensors[source] for source in node.sources]
            tensors[name] = layer(given if node.listed else given[0], **node.arguments)
            layer.set_weights(node.weights)
        return keras.Model(image, tensors[self.output], name=self.name)


def same(first: Any, second: Any, *, tolerance: float = 1e-5) -> bool:
    """Whether two models of one picture give the same for noise in [0, 1], but for rounding."""
    shape = [4 if size is None else size for size in first.inputs[0].shape[1:]]
    images = np.random.default_rng(0).random((8, *shape), np.float32)
    given, other = (np.asarray(model(images, training=False), np.float64) for model in (first, second))
    return given.shape == other.shape and bool(
        np.max(np.abs(given - other)) <= tolerance * max(1.0, float(np.max(np.abs(given))))
    )
