"""LiteRT's GPU, on the software Vulkan that stands for one in CI: what it computes, takes and leaves, and its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import artifact, bench, delegation, device
from edgebig.errors import DeviceError, EdgebigError
from edgebig.ondevice import gpu, infer, vulkan
from edgebig.ondevice.faults import Fault
from edgebig.report import table

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden"
SWIFTSHADER = [
    Path(folder) / "vk_swiftshader_icd.json"
    for folder in ("/usr/lib/chromium", "/opt/google/chrome", "/usr/lib/chromium-browser")
]
QUICK = bench.Settings(examples=30, processes=2, rounds=2, samples=2, warmup_s=0.1)

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: software Vulkan")


@pytest.fixture
def software_vulkan(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [path for path in SWIFTSHADER if path.is_file()]
    if not found:
        pytest.skip("needs Chromium's software Vulkan (chromium-common)")
    monkeypatch.delenv("VK_DRIVER_FILES", raising=False)
    monkeypatch.setenv("VK_ICD_FILENAMES", str(found[0]))
    try:
        vulkan.devices()
    except Fault as fault:
        pytest.skip(f"needs libvulkan1: {fault.problem}")


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.setenv(name, "/no/such/driver.json")


# In a process of its own, as on a device: the library of a GPU stays where it was once loaded.
ASK = """
import json, sys
from edgebig.ondevice import infer, loading
from edgebig.ondevice.faults import Fault
how = {"runtime": "ai-edge-litert", "delegate": "gpu", "threads": 1, "delegate_options": {}}
for path, precision in json.loads(sys.argv[1]):
    try:
        model = loading.load(path, {**how, "gpu_precision": precision})
    except Fault as fault:
        print(json.dumps({"code": fault.code, "problem": fault.problem, "hint": fault.hint}))
        continue
    model.warm_up()
    print(json.dumps({"raw": model.get_output().tolist(), "delegated": model.delegated(), "adapter": model.adapter,
        "init_ns": model.init_ns}))
"""


def ask(*models: tuple[str, str]) -> list[dict[str, Any]]:
    """What the GPU says of goldens, each (name, precision), one after another in one process."""
    paths = [(str(GOLDEN / f"{name}.tflite"), precision) for name, precision in models]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(paths)],
        capture_output=True, text=True, timeout=120, check=False, env=environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "being compiled for the GPU" in done.stderr  # what LiteRT printed was passed on
    # LiteRT prints a line of its own now and then; on a device events have a pipe of theirs.
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


WITHOUT_LIBRARY = """
import sys, tempfile
from ai_edge_litert import environment
from edgebig.ondevice import gpu
with tempfile.TemporaryDirectory() as empty:
    create = environment.Environment.create
    environment.Environment.create = lambda: create(runtime_path=empty)
    try:
        gpu.GpuModel(sys.argv[1], 1, "float32")
    except gpu.Fault as fault:
        print(fault.code, fault.problem)
"""


@pytest.mark.slow
def test_a_runtime_without_its_gpu_library_is_told_and_not_run_on_the_cpu(software_vulkan: None) -> None:
    command = [sys.executable, "-c", WITHOUT_LIBRARY, str(GOLDEN / "digits-float32.tflite")]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert done.stdout.endswith("no-gpu this ai-edge-litert has no GPU library that loads here\n"), (
        done.stderr
    )


def reference(name: str) -> Any:
    model = infer.Model(str(GOLDEN / f"{name}.tflite"), "ai-edge-litert", "reference", 1)
    model.warm_up()
    return model.get_output()


WHOLE = [("digits-float32", 4), ("digits-int8", 4), ("dense-int8-uint8-io", 3), ("dense-int8-float32-io", 3)]


@pytest.mark.slow
def test_whole_models_are_right_one_after_another_in_one_process(software_vulkan: None) -> None:
    found = ask(*((name, "float32") for name, _ in WHOLE), ("digits-float32", "float16"))
    for (name, operators), said in zip([*WHOLE, WHOLE[0]], found, strict=True):
        expected = reference(name)
        tolerance = 1 if np.issubdtype(expected.dtype, np.integer) else 1e-5
        assert said["delegated"] == ["gpu", operators, operators, 1, [], []], name
        assert np.abs(np.array(said["raw"], np.float64) - expected).max() <= tolerance, name
        assert said["adapter"]["kind"] == "software"
        assert said["adapter"]["name"].startswith("SwiftShader")
        assert said["adapter"]["backend"] == "Vulkan"


@pytest.mark.slow
def test_what_it_leaves_is_named_with_the_reason(software_vulkan: None) -> None:
    (said,) = ask(("normalised-float32", "float32"))
    delegate, nodes, of, partitions, left, reasons = said["delegated"]
    assert (delegate, nodes, of, partitions) == ("gpu", 4, 6, 1)
    assert left == ["LOCAL_RESPONSE_NORMALIZATION"]
    assert reasons == [
        ["LOCAL_RESPONSE_NORMALIZATION", "Operation is not supported"],
        ["others", "1 more lie outside the one part that LiteRT gives a GPU"],
    ]
    # What the CPU runs of it goes through XNNPACK, whose normalisation is another than the reference's.
    np.testing.assert_allclose(said["raw"], reference("normalised-float32"), rtol=0, atol=5e-3)


@pytest.mark.slow
def test_shapes_that_are_not_fixed_are_refused_with_the_mend(software_vulkan: None) -> None:
    (said,) = ask(("any-batch-float32", "float32"))
    assert said["code"] == "bad-model"
    assert "its batch is not fixed" in said["problem"]
    assert "convert --for gpu" in said["hint"]


@pytest.mark.slow
def test_float16_is_held_to_its_own_tolerance_and_said_to_be_exact_where_it_is(software_vulkan: None) -> None:
    half = device.load("desktop-gpu").model_copy(update={"gpu_precision": "float16"})
    found = bench.bench([artifact.load(GOLDEN / "digits-float32.tflite")], half, QUICK, None)
    (model,) = found.models
    assert model.parity is not None
    assert model.parity.tolerance == delegation.TOLERANCES_FLOAT16["real"]
    assert model.delegate.precision == "float16"
    # SwiftShader has no float16 and computes in float32.
    (line,) = [line for line in table.notes(found) if "asked to compute in" in line]
    assert "(software, no GPU), asked to compute in float16; it is as exact as float32" in line


@pytest.mark.slow
def test_a_bench_of_two_models_says_that_software_played_the_gpu(software_vulkan: None) -> None:
    models = [artifact.load(GOLDEN / f"{name}.tflite") for name in ("digits-float32", "digits-int8")]
    found = bench.bench(models, device.load("desktop-gpu"), QUICK, None)
    assert found.provenance == "software"
    for model in found.models:
        assert model.verdict == "OK", model.cause
        assert model.delegate.whole
        assert model.delegate.adapter is not None
        assert model.delegate.adapter.kind == "software"
        assert model.delegate.precision == "float32"
        assert len(model.latency.processes) == 2
    assert found.comparisons[0].ratio is not None


def test_no_driver_is_one_message_with_the_mend(no_driver: None) -> None:
    try:
        vulkan.devices()
    except Fault as fault:
        if "no Vulkan" in fault.problem:
            pytest.skip("needs libvulkan1")
    models = [artifact.load(GOLDEN / "digits-float32.tflite")]
    with pytest.raises(DeviceError, match="Vulkan finds no driver of a GPU") as caught:
        bench.bench(models, device.load("desktop-gpu"), QUICK, None)
    assert "VK_ICD_FILENAMES" in caught.value.hint


def test_no_loader_is_one_message_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vulkan.LIBRARIES, sys.platform, "libvulkan-not-there.so.1")
    with pytest.raises(Fault, match="no Vulkan on this machine") as caught:
        gpu.check_machine()
    assert "libvulkan1" in caught.value.hint


def test_software_is_called_so(software_vulkan: None) -> None:
    (found,) = vulkan.devices()
    assert found["kind"] == "software"
    assert found["name"].startswith("SwiftShader")


PI = "processor\t: 0\nFeatures\t: fp asimd evtstrm {}crc32 cpuid\nCPU part\t: 0xd08\n"


def test_a_processor_that_its_library_would_die_on_is_told_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(gpu, "_CPUINFO", str(cpuinfo))
    monkeypatch.setattr(gpu.platform, "machine", lambda: "aarch64")
    monkeypatch.setitem(vulkan.LIBRARIES, sys.platform, "libvulkan-not-there.so.1")
    cpuinfo.write_text(PI.format(""))  # a Pi 4's
    with pytest.raises(Fault, match="SIGILL") as caught:
        gpu.check_machine()
    assert "the Interpreter is the way on a Raspberry Pi 3 or 4" in caught.value.hint
    cpuinfo.write_text(PI.format("atomics "))  # a Pi 5's: it gets as far as Vulkan
    with pytest.raises(Fault, match="no Vulkan"):
        gpu.check_machine()


# As ai-edge-litert 2.3.0 writes it.
LOG = """\
I0000 00:00:1795750863.357570    6974 environment.cc:532] Selected adapter: {name}, arch=lovelace, vendor=nvidia, \
backend=Vulkan, adapterType={kind}
ERROR: Following operations are not supported by GPU delegate:
LOCAL_RESPONSE_NORMALIZATION: Operation is not supported.
CAST: Not supported data type: INT64.
4 operations will run on the GPU, and the remaining 2 operations will run on the CPU.
"""


@pytest.mark.parametrize(
    ("logged", "in_vulkan", "kind"),
    [
        ("Discrete GPU", "discrete", "discrete"),
        ("Integrated GPU", "integrated", "integrated"),
        ("Discrete GPU", "software", "software"),  # Vulkan's own word counts where it is the worse one
        ("CPU / Software", "discrete", "software"),
    ],
)
def test_an_adapter_is_held_against_vulkans_own_list(
    logged: str, in_vulkan: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "_shared", {})
    monkeypatch.setattr(vulkan, "devices", lambda: [{"name": "A GPU, 8 GB", "kind": in_vulkan}])
    found = gpu._shared_adapter(LOG.format(name="A GPU, 8 GB", kind=logged))
    assert (found["name"], found["vendor"], found["kind"]) == ("A GPU, 8 GB", "nvidia", kind)


def test_a_gpu_that_is_not_named_gets_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_shared", {})
    with pytest.raises(Fault, match="does not say which GPU it took"):
        gpu._shared_adapter("INFO: [delegate_webgpu.cc:363] Created a WebGPU environment.\n")


def test_reasons_are_read_from_the_log() -> None:
    assert gpu.unsupported(LOG) == (
        ("LOCAL_RESPONSE_NORMALIZATION", "Operation is not supported"),
        ("CAST", "Not supported data type: INT64"),
    )
    assert gpu.unsupported("nothing of the kind") == ()


def test_a_gpu_that_predict_cannot_have_is_one_message(no_driver: None, tmp_path: Path) -> None:
    from edgebig import predict

    picture = tmp_path / "picture.png"
    picture.write_bytes(b"")
    model = artifact.load(GOLDEN / "digits-float32.tflite")
    with pytest.raises(EdgebigError, match="Vulkan"):
        list(predict.predict(model, [picture], device.load("desktop-gpu")))
