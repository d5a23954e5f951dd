"""The fake is asked for by name, and says in everything that it gives that it is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebig import artifact, bench, device, drivers
from edgebig.drivers.fake import FakeDriver
from edgebig.drivers.local import LocalDriver
from edgebig.errors import EdgebigError

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def test_it_is_there_by_name_alone() -> None:
    assert isinstance(drivers.connect(device.load("fake")), FakeDriver)
    assert isinstance(drivers.connect(device.load("local")), LocalDriver)
    with pytest.raises(EdgebigError, match="no device 'fakes'"):
        device.load("fakes")


def test_a_device_that_fails_is_not_replaced_by_it(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text('kind = "local"\npython = "/no/such/python"\n')
    opening = next(iter(drivers.connect(device.load(str(tmp_path / "broken.toml"))).sessions()))
    with pytest.raises(EdgebigError, match="/no/such/python"), opening:
        pass


def test_its_record_says_fake_and_repeats() -> None:
    models = [artifact.load(GOLDEN / "dense-int8.tflite")]
    first, again = (
        bench.bench(models, device.load("fake"), bench.Settings(processes=3), None) for _ in range(2)
    )
    assert first.provenance == "fake"
    assert first.machine.model_dump()["machine"] == "fake"
    assert first.models[0].latency == again.models[0].latency
