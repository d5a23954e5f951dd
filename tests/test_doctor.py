"""The doctor proves what works and names the mend; what hangs or dies takes only its own line along.

The tools are scripts on a PATH of the test's own, and packages stand on the path of a Python that has none.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from edgebig import doctor, lookup
from edgebig.doctor import Check, machine, phones, proof, software
from edgebig.phone import runtime as litertjs

ROOT = Path(__file__).resolve().parent.parent
Tool = Callable[[str, str], Path]
Package = Callable[..., None]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """A PATH with nothing on it but the shell scripts that the test makes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, script: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    return str(folder / "bin" / "python")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bare_python: str) -> Package:
    """The doctor's children see the packages that the test makes, and no others."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setattr(sys, "executable", bare_python)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.delenv("PYTHONHOME", raising=False)

    def make(name: str, version: str, **modules: str) -> None:
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(modules.pop("init", f"__version__ = '{version}'"))
        for module, text in modules.items():
            (site / name / f"{module}.py").write_text(text)
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    return make


NUMPY = "__version__ = '{version}'\nfloat32 = 'f4'\ndef array(x, dtype): return x\n"
INTERPRETER = """
class Tensor:
    def tolist(self): return {output}
class Interpreter:
    def __init__(self, model_content, num_threads): assert model_content[4:8] == b"TFL3"
    def allocate_tensors(self): print("INFO: a delegate greets on stdout")
    def get_input_details(self): return [dict(index=0)]
    def get_output_details(self): return [dict(index=1)]
    def set_tensor(self, index, x): pass
    def invoke(self): {invoke}
    def get_tensor(self, index): return Tensor()
"""
RIGHT = [[0.0, 2.0, 0.0, 4.0]]


def runtime(output: object = RIGHT, invoke: str = "pass") -> str:
    return INTERPRETER.format(output=output, invoke=invoke)


def only(checks: list[Check]) -> Check:
    assert len(checks) == 1
    return checks[0]


def test_the_runtime_that_is_installed_here_runs_a_model() -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert (edgebig[device])")
    check = only(software.litert())
    assert (check.state, check.mend) == ("ok", "")
    assert "ran a model" in check.detail


def test_a_base_installation_is_told_which_extras_bring_the_rest(package: Package) -> None:
    assert only(software.litert()).mend == 'pip install "edgebig[device]"'
    assert only(software.tflite_runtime()).state == "optional"
    *training, gpu = software.training()
    assert [(check.state, check.mend) for check in training] == [
        ("missing", 'pip install "edgebig[train]"')
    ] * 3
    assert (gpu.state, gpu.detail) == ("optional", "not tried, since TensorFlow does not work here")


def test_on_a_32_bit_arm_the_runtime_is_tflite_runtime(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "armv7l")
    assert only(software.litert()).state == "optional"
    assert only(software.tflite_runtime()).mend == 'pip install "edgebig[device]"'


def test_a_runtime_with_a_right_answer(package: Package) -> None:
    package("numpy", "1.26.4", init=NUMPY.format(version="1.26.4"))
    package("tflite_runtime", "2.14.0", interpreter=runtime())
    check = only(software.tflite_runtime())
    assert check == Check("tflite-runtime", "ok", "2.14.0 ran a model (numpy 1.26.4)")


@pytest.mark.parametrize(
    ("interpreter", "detail"),
    [
        (runtime(output=[[9.0]]), "2.3.0 gave a wrong answer: [[9.0]]"),
        (runtime(invoke="import os; os.kill(os.getpid(), 11)"), "2.3.0: died of SIGSEGV"),
        (runtime(invoke="import time; time.sleep(60)"), "2.3.0: did not answer within 1 s"),
        ("import nowhere", "2.3.0: exit 1: ModuleNotFoundError: No module named 'nowhere'"),
        ("raise SystemExit(3)", "2.3.0: exit 3, and it said nothing"),
    ],
    ids=["wrong", "dies", "hangs", "raises", "silent"],
)
def test_a_runtime_that_does_not_work(
    package: Package, monkeypatch: pytest.MonkeyPatch, interpreter: str, detail: str
) -> None:
    if "did not answer" in detail:
        monkeypatch.setattr(software, "RUNTIME_LIMIT_S", 1)
    package("numpy", "2.4.6", init=NUMPY.format(version="2.4.6"))
    package("ai_edge_litert", "2.3.0", interpreter=interpreter)
    check = only(software.litert())
    assert check == Check("ai-edge-litert", "broken", detail, "pip install --force-reinstall ai-edge-litert")


def test_numpy_2_under_tflite_runtime_is_named(package: Package) -> None:
    package("numpy", "2.4.6", init=NUMPY.format(version="2.4.6"))
    package("tflite_runtime", "2.14.0", interpreter="raise SystemError('initialization failed')")
    check = only(software.tflite_runtime())
    assert check.state == "broken"
    assert check.detail.startswith("2.14.0 is built for numpy 1 and does not work with numpy 2.4.6")
    assert 'pip install "edgebig[legacy]"' in check.mend


TENSORFLOW = """
import contextlib
class Tensor:
    def __matmul__(self, other): return self
class config:
    list_physical_devices = staticmethod(lambda kind: [])
device = lambda name: contextlib.nullcontext()
ones = lambda shape: Tensor()
reduce_sum = lambda x: 12
"""
TF_KERAS = "class layers:\n    Dense = lambda *a, **k: None\nSequential = list\n"
TFMOT = """
import os
assert os.environ["TF_USE_LEGACY_KERAS"] == "1"
class quantization:
    class keras: quantize_model = staticmethod(len)
class sparsity:
    class keras: prune_low_magnitude = staticmethod(len)
"""


def test_the_training_stack_is_tried_in_the_right_order(package: Package) -> None:
    package("tensorflow", "2.21.0", init=TENSORFLOW)
    package("tf_keras", "2.21.0", init=TF_KERAS)
    package("tensorflow_model_optimization", "0.8.1", init=TFMOT)
    assert [(check.name, check.state, check.detail) for check in software.training()] == [
        ("TensorFlow", "ok", "2.21.0 computes"),
        ("tf_keras", "ok", "2.21.0 builds a model"),
        ("tensorflow-model-optimization", "ok", "0.8.1 quantizes and prunes it"),
        ("TensorFlow GPU", "optional", "TensorFlow sees none"),
    ]


def test_tf_keras_of_another_version_is_named(package: Package) -> None:
    package("tensorflow", "2.21.0", init=TENSORFLOW)
    package("tf_keras", "2.18.0", init=TF_KERAS)
    tensorflow, tf_keras, tfmot, _ = software.training()
    assert tensorflow.state == "ok"
    assert (tf_keras.state, tf_keras.mend) == ("broken", 'pip install "tf_keras==2.21.*"')
    assert tf_keras.detail == "2.18.0 does not go with TensorFlow 2.21.0"
    assert tfmot.state == "missing"


def test_what_was_proven_before_a_crash_stands(package: Package) -> None:
    package("tensorflow", "2.21.0", init=TENSORFLOW)
    package("tf_keras", "2.21.0", init="import os; os.abort()")
    package("tensorflow_model_optimization", "0.8.1", init=TFMOT)
    assert [check.state for check in software.training()] == ["ok", "broken", "broken", "optional"]
    assert software.training()[1].detail == "2.21.0: died of SIGABRT"


def test_tensorflow_for_a_better_processor(package: Package) -> None:
    package("tensorflow", "2.21.0", init="import os; os.kill(os.getpid(), 4)")
    package("tf_keras", "2.21.0", init=TF_KERAS)
    package("tensorflow_model_optimization", "0.8.1", init=TFMOT)
    tensorflow, *_, gpu = software.training()
    assert (tensorflow.state, tensorflow.detail) == ("broken", "2.21.0: died of SIGILL")
    assert gpu.state == "optional"


@pytest.mark.parametrize(
    ("system", "machine_name", "version", "libc", "said"),
    [
        ("Linux", "x86_64", (3, 10), "glibc", None),
        ("Linux", "aarch64", (3, 13), "glibc", None),
        ("Linux", "armv7l", (3, 11), "glibc", None),
        ("Darwin", "arm64", (3, 12), "", None),
        ("Windows", "AMD64", (3, 12), "", "WSL"),
        ("Linux", "x86_64", (3, 14), "glibc", "3.10 to 3.13"),
        ("Linux", "x86_64", (3, 9), "glibc", "3.10 to 3.13"),
        ("Linux", "x86_64", (3, 12), "", "musl"),
        ("Linux", "armv7l", (3, 12), "glibc", "3.11 or older"),
        ("Darwin", "x86_64", (3, 12), "", "Apple silicon"),
        ("FreeBSD", "amd64", (3, 12), "", "FreeBSD"),
    ],
)
def test_the_platform(
    system: str, machine_name: str, version: tuple[int, int], libc: str, said: str | None
) -> None:
    fault = software._unsupported(system, machine_name, version, libc)
    assert fault is None if said is None else said in " ".join(fault or ())


def given_up_soon(monkeypatch: pytest.MonkeyPatch, hangs: Callable[[list[str]], bool]) -> None:
    """What hangs is not waited for as long as it would be; what does not has its time, where the machine stalls too."""
    real = proof.run
    monkeypatch.setattr(
        machine, "run", lambda command, limit_s: real(command, 0.3 if hangs(command) else limit_s)
    )


ADB_VERSION = 'echo "Android Debug Bridge version 1.0.41"; echo "Version 34.0.5"'


@pytest.mark.parametrize(
    ("script", "state", "detail"),
    [
        (ADB_VERSION, "ok", "version 1.0.41; its server is not running, so no phones were listed"),
        ("/bin/sleep 60", "broken", "did not answer within 0.3 s"),
        ("/bin/sleep 60 & wait", "broken", "did not answer within 0.3 s"),
        ("kill -SEGV $$", "broken", "died of SIGSEGV"),
        ("echo 'no such library' >&2; exit 127", "broken", "exit 127: no such library"),
        ("echo 'some other adb'", "broken", "exit 0: some other adb"),
    ],
    ids=["works", "hangs", "its child hangs", "dies", "fails", "is another"],
)
def test_adb(tool: Tool, monkeypatch: pytest.MonkeyPatch, script: str, state: str, detail: str) -> None:
    given_up_soon(monkeypatch, lambda _: "sleep" in script)
    monkeypatch.delenv("ADB_SERVER_SOCKET")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
    tool("adb", script)
    check = only(machine.adb())
    assert (check.state, check.detail) == (state, detail)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_adb_whose_server_runs_lists_the_phones(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = 'printf "List of devices attached\\nR58M\\tdevice\\nX1\\tunauthorized\\n"'
    tool("adb", f'case "$1" in version) {ADB_VERSION};; devices) {listed};; esac')
    monkeypatch.delenv("ADB_SERVER_SOCKET")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.getsockname()[1]))
        check = only(machine.adb())
    assert check.detail == "version 1.0.41; R58M device, X1 unauthorized"
    assert check.mend == "unlock the phone and accept this computer"


def test_a_daemon_that_keeps_the_output_open_does_not_hold_the_doctor_up(tool: Tool) -> None:
    path = tool("daemon", "/bin/sleep 5 & echo started")
    before = time.monotonic()
    assert proof.run([str(path)], 60).stdout == "started\n"
    assert time.monotonic() - before < 4


@pytest.mark.parametrize(
    ("script", "state", "detail"),
    [
        ("echo 'OpenSSH_9.2p1 Debian-2, OpenSSL 3.0' >&2", "ok", "OpenSSH_9.2p1 Debian-2"),
        (
            "echo 'Dropbear v2022.83' >&2",
            "broken",
            "Dropbear v2022.83: not OpenSSH, whose ControlPersist is needed",
        ),
        ("exit 1", "broken", "exit 1, and it said nothing"),
    ],
)
def test_ssh(tool: Tool, script: str, state: str, detail: str) -> None:
    tool("ssh", script)
    check = only(machine.ssh())
    assert (check.state, check.detail) == (state, detail)
    assert bool(check.mend) == (state == "broken")


@pytest.mark.parametrize(
    ("script", "state", "detail"),
    [
        ("echo '<body>six times seven is 42</body>'", "ok", "Chromium 150 ran a page"),
        ("echo '<body></body>'", "broken", "Chromium 150: exit 0: <body></body>"),
        ("echo 'No usable sandbox!' >&2; exit 1", "broken", "Chromium 150: exit 1: No usable sandbox!"),
        ("/bin/sleep 60", "broken", "Chromium 150: did not answer within 0.3 s"),
    ],
    ids=["works", "no script", "no sandbox", "hangs"],
)
def test_chromium(tool: Tool, monkeypatch: pytest.MonkeyPatch, script: str, state: str, detail: str) -> None:
    given_up_soon(monkeypatch, lambda command: "sleep" in script and "--version" not in command)
    tool("chromium-browser", f'case "$1" in --version) echo "Chromium 150";; *) {script};; esac')
    check = only(machine.chromium())
    assert (check.state, check.detail) == (state, detail)


@pytest.mark.parametrize(
    ("script", "state", "detail"),
    [
        ("echo 'NVIDIA T4, 550.54, 15360 MiB'", "ok", "NVIDIA T4, 550.54, 15360 MiB"),
        (
            "echo 'Driver/library version mismatch'; exit 18",
            "broken",
            "exit 18: Driver/library version mismatch",
        ),
    ],
)
def test_nvidia(tool: Tool, script: str, state: str, detail: str) -> None:
    tool("nvidia-smi", script)
    check = only(machine.nvidia())
    assert (check.state, check.detail) == (state, detail)


@pytest.mark.parametrize(
    ("told", "code", "state", "detail"),
    [
        ({"found": False}, 0, "optional", "no loader (libvulkan.so.1)"),
        ({"adapters": []}, 0, "optional", "the loader is here, a driver (ICD) is not"),
        ({"adapters": [["SwiftShader Device", 4]]}, 0, "ok", "SwiftShader Device (software, not a GPU)"),
        (
            {"adapters": [["NVIDIA T4", 2], ["llvmpipe", 4]]},
            0,
            "ok",
            "NVIDIA T4 (discrete GPU); llvmpipe (software, not a GPU)",
        ),
        ({}, -11, "broken", "died of SIGSEGV"),
    ],
)
def test_vulkan_names_software(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, object], code: int, state: str, detail: str
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    ended = proof.Outcome(code, json.dumps({"told": told}), "", 1)
    monkeypatch.setattr(machine, "run_python", lambda *arguments: ended)
    check = only(machine.vulkan())
    assert (check.state, check.detail) == (state, detail)


@pytest.mark.parametrize(
    ("told", "state", "detail"),
    [
        ({}, "optional", "none that takes pictures (/dev/video*, libcamera)"),
        ({"cameras": ["/dev/video2 C920"]}, "ok", "/dev/video2 C920"),
        ({"refused": ["/dev/video0"]}, "broken", "/dev/video0: may not be opened"),
        ({"own": ["imx219"], "picamera2": True}, "ok", "imx219, by libcamera"),
        ({"own": ["imx219"]}, "broken", "imx219, by libcamera, which this Python has no picamera2 for"),
    ],
)
def test_cameras(monkeypatch: pytest.MonkeyPatch, told: dict[str, object], state: str, detail: str) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    facts = {"cameras": [], "own": [], "picamera2": False, "refused": [], **told}
    ended = proof.Outcome(0, json.dumps({"told": facts}), "", 1)
    monkeypatch.setattr(machine, "run_python", lambda *arguments: ended)
    check = only(machine.camera())
    assert (check.state, check.detail, bool(check.mend)) == (state, detail, state != "ok")


def test_an_emulator_that_does_not_emulate(tool: Tool) -> None:
    tool("qemu-aarch64", "echo 'unsupported syscall' >&2; exit 1")
    tool("qemu-arm-static", 'test "$(/usr/bin/head -c 4 "$1" | /usr/bin/tail -c 3)" = ELF && exit 42')
    aarch64, arm = machine.qemu()
    assert (aarch64.state, aarch64.detail) == ("broken", "exit 1: unsupported syscall")
    assert arm.state == "ok"


def test_nothing_is_installed(tool: Tool, package: Package) -> None:
    checks = [machine.nvidia(), machine.adb(), machine.ssh(), machine.chromium(), machine.qemu()]
    checks += [machine.opencv(), machine.picamera2()]
    assert {check.state for found in checks for check in found} == {"optional"}


def test_opencv_that_lacks_a_library(package: Package) -> None:
    package("cv2", "4.11", init="raise ImportError('libGL.so.1: cannot open shared object file')")
    check = only(machine.opencv())
    assert (check.state, check.mend) == ("broken", "pip install opencv-python-headless")
    assert "libGL.so.1" in check.detail


def test_the_phones_page(package: Package) -> None:
    packages, runtime = phones.page()
    assert (packages.state, packages.mend) == ("optional", 'pip install "edgebig[phone]"')
    assert "starlette, uvicorn, segno, cryptography" in packages.detail
    for name in ("starlette", "uvicorn", "cryptography"):
        package(name, "1.2")
    package("segno", "1.2", init="raise ImportError('no module of its own')")
    packages, _ = phones.page()
    assert packages.state == "broken"
    assert runtime.state == "optional"


def test_litertjs_is_told_where_it_is_kept(tool: Tool) -> None:
    """That version, whole: another one, or a part of it, will be fetched all the same."""
    assert "no npm" in phones.page()[1].detail
    tool("npm", "exit 0")
    assert "npm will bring it" in phones.page()[1].detail
    folder = lookup.cache_dir() / "litertjs"
    litertjs._pack(iter([("index.js", b"export {};")]), folder / "2.5.2")
    (folder / litertjs.VERSION).mkdir()
    (folder / litertjs.VERSION / "files.json").write_text("{}")
    assert phones.page()[1].state == "optional"
    litertjs._pack(((name, name.encode()) for name in litertjs._FILES), folder / litertjs.VERSION)
    assert (phones.page()[1].state, phones.page()[1].detail[:5]) == ("ok", "2.5.3")
    (folder / litertjs.VERSION / "index.js.gz").write_bytes(b"spoilt")
    assert phones.page()[1].state == "optional"


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    check = software.folder_check("runs folder", tmp_path / "not" / "yet")
    assert check.state == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    check = software.folder_check("runs folder", tmp_path / "runs")
    assert check.state == "broken"
    assert "Not a directory" in check.detail


def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("needs a user who is not root")
    tmp_path.chmod(0o555)
    assert software.folder_check("runs folder", tmp_path / "runs").state == "broken"


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "LEAST_FREE_BYTES", 1 << 70)
    check = software.folder_check("runs folder", tmp_path)
    assert (check.state, check.mend[:15]) == ("broken", "free some space")


def test_what_hangs_or_dies_takes_only_its_own_line_along(
    tool: Tool, package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given_up_soon(monkeypatch, lambda command: command[0].endswith("adb"))
    tool("adb", "/bin/sleep 60")
    tool("ssh", "kill -KILL $$")
    tool("chromium", "echo Chromium 150; echo 'is 42'")
    reported: list[Check] = []
    before = time.monotonic()
    checks = doctor.check_all(reported.append, runs=tmp_path)
    assert time.monotonic() - before < 20
    assert sorted(reported, key=str) == sorted(checks, key=str)
    by_name = {check.name: check for check in checks}
    assert len(by_name) == len(checks) == 22
    assert [by_name[name].state for name in ("adb", "ssh", "Chromium")] == ["broken", "broken", "ok"]
    assert by_name["ai-edge-litert"].state == "missing"
    assert checks[0].name == "Python"
    assert checks[-1].name == "runs folder"
    assert doctor.exit_code(checks) == 1


def test_a_bug_in_a_check_is_raised_after_the_others_have_ended(
    tool: Tool, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug() -> list[Check]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(doctor, "CHECKS", (bug, machine.ssh))
    reported: list[Check] = []
    with pytest.raises(ZeroDivisionError, match="a bug"):
        doctor.check_all(reported.append)
    assert [check.name for check in reported].count("ssh") == 1


def test_ctrl_c_ends_at_once_and_leaves_no_child(tool: Tool, tmp_path: Path, bare_python: str) -> None:
    pid_file = tmp_path / "pid"
    tool("adb", f"echo $$ > {pid_file}.new; /bin/mv {pid_file}.new {pid_file}; exec /bin/sleep 60")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [bare_python, "-c", "from edgebig import doctor; doctor.check_all()"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as child:
        deadline = time.monotonic() + 30
        while not pid_file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        before = time.monotonic()
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=30)
    assert time.monotonic() - before < 8
    assert "KeyboardInterrupt" in stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_the_json_is_stable() -> None:
    checks = [Check("adb", "ok", "1.0.41"), Check("ssh", "optional", "not installed", "sudo apt install")]
    record = doctor.to_json(checks)
    assert list(record) == ["schema", "edgebig", "python", "platform", "checks"]
    assert record["schema"] == 1
    assert record["checks"] == [
        {"name": "adb", "state": "ok", "detail": "1.0.41", "mend": ""},
        {"name": "ssh", "state": "optional", "detail": "not installed", "mend": "sudo apt install"},
    ]
    assert json.loads(json.dumps(record)) == record
    assert doctor.exit_code(checks) == 0
    assert doctor.exit_code([*checks, Check("OpenCV", "missing", "")]) == 0


def test_the_doctor_itself_is_light(bare_python: str) -> None:
    """It has to start where nothing else is installed."""
    command = [bare_python, "-c", "import edgebig.doctor"]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=60)


@pytest.mark.arm
def test_the_emulators_run_a_program() -> None:
    assert [check.state for check in machine.qemu()] == ["ok", "ok"]


@pytest.mark.browser
def test_the_browser_runs_a_page() -> None:
    assert only(machine.chromium()).state == "ok"


@pytest.mark.tf
def test_the_training_stack_that_is_installed_here_works() -> None:
    pytest.importorskip("tensorflow_model_optimization", reason="needs edgebig[train]")
    tensorflow, tf_keras, tfmot, gpu = software.training()
    assert [check.state for check in (tensorflow, tf_keras, tfmot)] == ["ok", "ok", "ok"]
    assert gpu.state in ("ok", "optional")
