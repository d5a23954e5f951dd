"""The config of a Keras 3 model -> a flat functional model of tf_keras, with Keras 3's names and fresh weights.

A model inside the model is written out: what compresses a model looks at its layers, and into none of them. Layers
are made once and called as often as Keras 3 called them, so that shared ones stay shared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from edgebig.errors import EdgebigError
from edgebig.keras import keras
from edgebig.keras3.examine import MODELS, faults_of, is_operation, name_of
from edgebig.keras3.layers import LEFT_OUT, Plan, RefusedError, plan
from edgebig.keras3.operations import OPERATIONS, activate

_DAMAGED = "save it again with Keras 3"


@dataclass
class Built:
    """`layers`: each that Keras 3 had too, by its path there, as in "backbone/stem"."""

    model: Any
    layers: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def build(config: dict[str, Any], where: str) -> Built:
    """`where` opens the error messages. Raises EdgebigError that names every layer which is refused."""
    if faults := list(faults_of(config)):
        raise EdgebigError(
            f"{where}: {len(faults)} of its layers cannot be brought from Keras 3 to tf_keras\n"
            + "\n".join(f"  {fault}" for fault in faults),
            "write these with other layers of Keras, and save the model again",
        )
    built = Built(None)
    try:
        graph = _Graph(config, _Kit(built), "")
        inputs = [
            keras.Input(tuple(shape[1:]), name=graph.kit.free(name)) for name, shape in graph.inputs.items()
        ]
        outputs = graph(inputs)
        model_name = _legal(str(config["config"].get("name") or "model"))
        built.model = keras.Model(_only(inputs), _only(outputs), name=model_name)
    except RefusedError as refusal:
        raise EdgebigError(f"{where}: {refusal}", "write it otherwise, and save the model again") from refusal
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        said = (str(error).splitlines() or [""])[0]
        raise EdgebigError(
            f"{where}: its config is none of Keras 3 ({type(error).__name__}: {said})", _DAMAGED
        ) from error
    return built


def _legal(name: str) -> str:
    """The name as TensorFlow's scopes allow it."""
    return re.sub(r"^[^A-Za-z0-9.]", "x", re.sub(r"[^A-Za-z0-9_.>-]", "_", name))


def _only(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items


class _Kit:
    """What all graphs of one model share: the names that are taken, and the layers by their paths."""

    def __init__(self, built: Built) -> None:
        self.built = built
        self._taken: set[str] = set()

    def free(self, name: str, prefix: str = "") -> str:
        name = _legal(name)
        candidates = [name, *([_legal(f"{prefix}_{name}")] if prefix else [])]
        numbered = (f"{candidates[-1]}_{number}" for number in range(1, len(self._taken) + 2))
        found = next(each for each in (*candidates, *numbered) if each not in self._taken)
        self._taken.add(found)
        return found

    def put(self, stem: str) -> Any:
        """Makes layers that Keras 3 had no layer for: named after the one that they came from."""

        def put(kind: str, x: Any, **options: Any) -> Any:
            name = self.free(f"{stem}_{kind.lower()}")
            return getattr(keras.layers, kind)(name=name, **options)(x)

        return put


class _Leaf:
    """One layer or operation, called as often as Keras 3 called it."""

    def __init__(self, member: dict[str, Any], kit: _Kit, prefix: str, path: str) -> None:
        self.member, self.kit, self.layer = member, kit, None
        self.own_name = name_of(member)
        self.name = self.own_name
        self.plan: Plan | None = None
        if is_operation(member):
            return
        if member["class_name"] in LEFT_OUT:
            kit.built.left_out.append(f"{self.own_name} ({member['class_name']})")
            return
        self.plan = plan(member)
        # A layer that is an activation and nothing else gives its name to what stands for it.
        if self.plan.kind == "Activation" and self.plan.activation != "linear":
            return
        self.name = kit.free(self.own_name, prefix.replace("/", "_"))
        self.layer = getattr(keras.layers, self.plan.kind)(name=self.name, **self.plan.options)
        kit.built.layers[path] = self.layer

    def __call__(self, args: list[Any]) -> list[Any]:
        try:
            return [self._call(args)]
        except RefusedError as refusal:
            raise RefusedError(f"{self.own_name} ({self.member['class_name']}): {refusal}") from refusal

    def _call(self, args: list[Any]) -> Any:
        put = self.kit.put(self.name)
        if is_operation(self.member):
            return OPERATIONS[self.member["class_name"]](put, self.member["config"], *args)
        (x,) = args
        if self.plan is None:
            return x
        if self.layer is not None:
            x = self.layer(x)
        behind = self.plan.activation
        if isinstance(behind, Plan):
            return getattr(keras.layers, behind.kind)(
                name=self.kit.free(f"{self.name}_activation"), **behind.options
            )(x)
        return activate(put, behind, x)


class _Graph:
    """A sequential or functional model: its members, made once, and how tensors go through them."""

    def __init__(self, config: dict[str, Any], kit: _Kit, prefix: str) -> None:
        self.kit, options = kit, config["config"]
        self.sequential = config["class_name"] == "Sequential"
        self.members: dict[str, _Leaf | _Graph] = {}
        self.nodes: dict[str, list[Any]] = {}
        shapes: dict[str, Any] = {}
        for member in options["layers"]:
            name = member.get("name") or name_of(member)
            if member["class_name"] == "InputLayer":
                given = member["config"]
                shapes[name] = given.get("batch_shape") or given["batch_input_shape"]
            else:
                path = f"{prefix}/{name_of(member)}".lstrip("/")
                inside = member["class_name"] in MODELS
                self.members[name] = _Graph(member, kit, path) if inside else _Leaf(member, kit, prefix, path)
            self.nodes[name] = member.get("inbound_nodes", [])
        if self.sequential:
            shape = options.get("build_input_shape")
            self.inputs = shapes or ({"input": shape} if shape else {})
            if not self.inputs:
                raise RefusedError(
                    "a Sequential that does not know its input's shape; let it begin with Input(shape)"
                )
            return
        self.inputs = {name: shapes[name] for name, _, _ in _references(options["input_layers"])}
        self.outputs = _references(options["output_layers"])

    def __call__(self, args: list[Any]) -> list[Any]:
        tensors = args[0] if len(args) == 1 and isinstance(args[0], list) else args
        if self.sequential:
            for member in self.members.values():
                tensors = member(tensors)
            return tensors
        made: dict[str, list[list[Any]]] = {name: [] for name in self.members}
        made |= {name: [[tensor]] for name, tensor in zip(self.inputs, tensors, strict=True)}
        waiting = [(name, node) for name in self.members for node in self.nodes[name]]
        while waiting:
            later: list[tuple[str, Any]] = []
            for name, node in waiting:
                # A member's calls are made in their order: it is by their number that others refer to them.
                blocked = any(name == earlier for earlier, _ in later)
                if blocked or not all(len(made[origin]) > index for origin, index, _ in _origins(node)):
                    later.append((name, node))
                    continue
                made[name].append(self.members[name](_arguments(node, made)))
            if len(later) == len(waiting):
                raise RefusedError(f"its layers do not hang together; {later[0][0]} waits for ever")
            waiting = later
        # Keras counts the calls of a functional model inside from 1 here, and from 0 everywhere else.
        inside = {
            name for name, one in self.members.items() if isinstance(one, _Graph) and not one.sequential
        }
        return [made[name][index - (name in inside)][at] for name, index, at in self.outputs]


def _references(value: Any) -> list[tuple[str, int, int]]:
    """[name, call, output], or a list of such."""
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        return [(value[0], value[1], value[2])]
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    raise RefusedError("its inputs or outputs go by names; let them be tensors or lists of tensors")


def _origins(value: Any) -> Iterator[tuple[str, int, int]]:
    """The tensors that a call takes, as [layer, call, output]."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield tuple(value["config"]["keras_history"])
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _origins(item)


def _arguments(node: Any, made: dict[str, Any]) -> list[Any]:
    def revive(value: Any) -> Any:
        if isinstance(value, list):
            return [revive(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("class_name") != "__keras_tensor__":
            raise RefusedError(f"a layer is called with a {value.get('class_name')}")
        name, index, at = value["config"]["keras_history"]
        return made[name][index][at]

    # `training`: what a layer was called with does not hold in Keras 3, where the whole model is called with another.
    named = [key for key, value in node["kwargs"].items() if value is not None and key != "training"]
    if named:
        raise RefusedError(f"a layer is called with {', '.join(named)}")
    return [revive(value) for value in node["args"]]
