"""What bench is asked for: which devices are all of them, which settings stand in place of a device's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgebig import campaign, inventory, lookup
from edgebig.bench import Settings
from edgebig.campaign import Asked
from edgebig.device import FakeDevice, LocalDevice, McuDevice
from edgebig.errors import EdgebigError

ASKED = Asked([LocalDevice(name="a"), LocalDevice(name="b", threads=2)], ["digits-nano"], Settings())


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only one: those that come with edgebig would be looked for in the network."""
    folder = inventory.own_folder()
    folder.mkdir(parents=True)
    monkeypatch.setattr(lookup, "shelves", lambda kind: [folder])
    return folder


@pytest.mark.slow
def test_all_are_those_that_answer_each_once_and_none_that_measures_nothing(
    shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    files = {
        "one": 'kind = "local"\nabout = "first"\n',
        "same": 'kind = "local"\nabout = "second"\n',
        "gone": f'kind = "local"\npython = "{tmp_path}/nothing"\n',
        "made-up": 'kind = "fake"\n',
        "slow": 'kind = "local"\ndelegate = "reference"\n',
        "broken": "kind = ",
        "phone": 'kind = "adb"\n',
    }
    for name, text in files.items():
        (shelf / f"{name}.toml").write_text(text)
    assert [target.name for target in campaign.everywhere()] == ["one"]
    said = capsys.readouterr().err
    assert "left out: same: is one by another name\n" in said
    assert "left out: gone: " in said
    assert "made-up" not in said
    assert "left out: phone: adb's server is not running" in said


def test_where_none_answers(shelf: Path) -> None:
    (shelf / "made-up.toml").write_text('kind = "fake"\n')
    with pytest.raises(EdgebigError, match="no device answers"):
        campaign.everywhere()


def test_one_setting_is_put_into_each_device() -> None:
    checked = replace(ASKED, threads=[4], delegates=["none"]).checked()
    assert not checked.is_sweep
    assert [(one.name, one.threads, one.delegate) for one in checked.targets] == [
        ("a", 4, "none"),
        ("b", 4, "none"),
    ]
    assert [one.threads for one in ASKED.checked().targets] == [1, 2]


def test_several_settings_are_a_sweep_of_each_device() -> None:
    checked = replace(ASKED, threads=[1, 4]).checked()
    assert checked.is_sweep
    assert [one.threads for one in checked.targets] == [1, 2]


def test_settings_that_one_of_the_devices_cannot_have_are_told_before_anything_is_measured() -> None:
    with pytest.raises(EdgebigError, match="mcu, gpu: delegate"):
        replace(
            ASKED, targets=[FakeDevice(name="f"), McuDevice(name="mcu")], delegates=["none", "gpu"]
        ).checked()


def test_devices_that_take_the_same_form_share_what_is_prepared() -> None:
    forms = {campaign._form(target) for target in (*ASKED.targets, FakeDevice(name="f"))}
    assert len(forms) == 1
    assert campaign._form(McuDevice(name="mcu")) not in forms
