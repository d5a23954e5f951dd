"""What each target leaves of the same nets, and why. test_real.py asks Vela and TFLite Micro the same."""

from __future__ import annotations

from types import ModuleType

import pytest
from cases import CASES
from nets import Step, conv, net

from edgebig.targets import edgetpu, ethos_u, gpu, mcu, nnapi
from edgebig.targets.operators import operators_of

RULES = {"gpu": gpu, "nnapi": nnapi, "edgetpu": edgetpu, "ethos-u": ethos_u, "mcu": mcu}
# The nets of which a target leaves something, and a few words of the reason.
LEFT = {
    "gpu": {
        "any number at once": "its shape is not fixed",
        "argmax over rows": "no such operator",
        "l2 norm": "no such operator",
        "turned round": "no such operator",
    },
    "nnapi": {
        "any number at once": "its shape is not fixed",
        "cos": "no such operator",
        "cos between convolutions": "no such operator",
        "division": "int8: it takes float32",
        "elu": "int8: it takes float32",
        "gelu": "no such operator",
        "turned round": "no such operator",
    },
    "edgetpu": {
        "any number at once": "its shape is not fixed",
        "argmax over rows": "no such operator",
        "cos": "no such operator",
        "cos between convolutions": "no such operator",
        "dequantize": "no such operator",
        "division": "no such operator",
        "elu": "no such operator",
        "every second channel": "steps other than 1",
        "every second row": "steps other than 1",
        "four at once": "only the last three dimensions",
        "gelu": "no such operator",
        "hard swish": "no such operator",
        "mean of the channels": "other axes than height and width",
        "softmax in float": "float32: it takes int8 and uint8",
        "turned round": "no such operator",
    },
    "ethos-u": {
        "argmax over rows": "another axis than the last",
        "average of 9x9 with padding": "a window of 9x9 with padding",
        "conv of stride 4 with padding": "stride 4x4, at most 3",
        "cos": "no such operator",
        "cos between convolutions": "no such operator",
        "depthwise of stride 4": "stride 4x4, at most 3",
        "dequantize": "no such operator",
        "division": "no such operator",
        "every second channel": "another axis than height and width",
        "four times as large, half pixels": "grows by 4, not by 2",
        "l2 norm": "no such operator",
        "maximum, other scale": "quantized otherwise",
        "mean of the channels": "over the channels",
        "softmax in float": "it takes whole numbers only",
        "space to depth": "no such operator",
        "three times as large": "grows by 3, not by 2, 4 or 8",
        "turned round": "turn round no axis",
    },
    "mcu": {
        "any number at once": "its shape is not fixed",
        "gelu": "the model will not run",
    },
}


@pytest.mark.parametrize("target", RULES)
def test_what_is_left_and_why(target: str) -> None:
    rules: ModuleType = RULES[target]
    found = {name: rules.left(operators_of(model, name)) for name, model in CASES.items()}
    assert {name for name, left in found.items() if left} == set(LEFT[target])
    for name, words in LEFT[target].items():
        assert words in found[name][0].reason


def test_every_table_names_operators_of_the_schema() -> None:
    from ai_edge_litert import schema_py_generated as schema

    known = {name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    for names in (gpu.TAKEN, set(nnapi.TAKEN), edgetpu.TAKEN, ethos_u.TAKEN, mcu.KERNELS):
        assert names <= known


def test_the_edge_tpu_leaves_all_behind_the_first() -> None:
    left = edgetpu.left(operators_of(CASES["cos between convolutions"], "m"))
    assert [one.operator for one in left] == ["COS", "CONV_2D"]
    assert left[1].reason.startswith("behind COS")
    # The Ethos-U goes on behind it.
    assert [one.operator for one in ethos_u.left(operators_of(CASES["cos between convolutions"], "m"))] == [
        "COS"
    ]


def test_nnapi_knows_a_highest_version() -> None:
    step = conv("CONV_2D", 3, 8, (1, 8, 8, 8))
    newer = net([step._replace(version=8)])
    (left,) = nnapi.left(operators_of(newer, "m"))
    assert left.reason == "version 8 of it, and NNAPI knows it to version 3"
    assert left.tensor == "conv_2d_0"


def test_nnapi_needs_a_bias() -> None:
    step = conv("CONV_2D", 3, 8, (1, 8, 8, 8))
    (left,) = nnapi.left(operators_of(net([step._replace(constants=step.constants[:1])]), "m"))
    assert "without a bias" in left.reason


def test_a_mean_that_changes_its_scale_is_not_nnapis() -> None:
    from cases import i32

    mean = Step("MEAN", (1, 4), [i32(1, 2)], version=2, scale=0.01)
    (left,) = nnapi.left(operators_of(net([mean]), "m"))
    assert "quantized otherwise" in left.reason
