"""tflite-runtime by name: a Python of its own, found without a word, or one message; what it does otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgebig import artifact, bench, device, environment
from edgebig.drivers import local
from edgebig.errors import EdgebigError

GOLDEN = Path(__file__).resolve().parent.parent / "golden"

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


def test_without_its_environment_it_is_told_what_makes_it() -> None:
    item = artifact.load(GOLDEN / "digits-int8.tflite")
    with pytest.raises(EdgebigError, match="needs the environment 'tflite-runtime'") as caught:
        bench.bench([item], device.load("tflite-runtime"), bench.Settings(), None)
    assert caught.value.hint == "make it once: edgebig environment add tflite-runtime"


def test_a_python_that_is_named_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "named.toml"
    path.write_text('kind = "local"\nruntime = "tflite-runtime"\npython = "/opt/old/python -X dev"\n')
    named = device.load(str(path))
    assert isinstance(named, device.LocalDevice)
    assert local.python_of(named) == ["/opt/old/python", "-X", "dev"]


def test_where_this_python_has_it_no_other_is_sought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tflite_runtime").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    named = device.load("tflite-runtime")
    assert isinstance(named, device.LocalDevice)
    assert len(local.python_of(named)) == 1


@pytest.mark.network
@pytest.mark.slow
def test_its_numbers_stand_beside_litert_s(environments: Callable[[str], Path]) -> None:
    """The same answers; float by XNNPACK in both, int8 in LiteRT alone."""
    environments("tflite-runtime")
    settings = bench.Settings(examples=100, processes=2, rounds=2, samples=3, warmup_s=0.1)
    items = [artifact.load(GOLDEN / f"digits-{kind}.tflite") for kind in ("int8", "float32")]
    old, new = (bench.bench(items, device.load(name), settings, None) for name in ("tflite-runtime", "local"))
    version = environment.versions("tflite-runtime")["tflite-runtime"]
    assert old.machine.model_dump()["runtimes"] == {"tflite-runtime": version}
    assert [model.delegate.actual for model in old.models] == ["none", "xnnpack"]
    assert [model.delegate.nodes for model in old.models] == [0, old.models[1].delegate.of]
    assert all(model.delegate.actual == "xnnpack" for model in new.models)
    for before, after in zip(old.models, new.models, strict=True):
        assert before.parity is not None
        assert before.parity.holds
        assert before.accuracy == after.accuracy
        assert len(before.latency.processes) == 2
