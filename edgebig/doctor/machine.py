"""What the machine brings: GPUs, the ways to boards and phones, cameras, a browser, emulators."""

from __future__ import annotations

import os
import platform
import shutil
import struct
import tempfile
from pathlib import Path

from edgebig import adbserver
from edgebig.doctor.proof import TOOL_LIMIT_S, Check, install, run, run_python

_VULKAN_CHILD = """
import ctypes
try:
    vulkan = ctypes.CDLL("libvulkan.so.1")
except OSError:
    tell(found=False)
    sys.exit()
class InstanceInfo(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("next", ctypes.c_void_p), ("flags", ctypes.c_uint32),
                ("application", ctypes.c_void_p), ("layers", ctypes.c_uint32),
                ("layer_names", ctypes.c_void_p), ("extensions", ctypes.c_uint32),
                ("extension_names", ctypes.c_void_p)]
instance, count = ctypes.c_void_p(), ctypes.c_uint32()
code = vulkan.vkCreateInstance(ctypes.byref(InstanceInfo(type=1)), None, ctypes.byref(instance))
if code == -9:  # VK_ERROR_INCOMPATIBLE_DRIVER: no ICD
    tell(adapters=[])
    sys.exit()
assert code == 0, f"vkCreateInstance returned {code}"
code = vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
assert code == 0, f"vkEnumeratePhysicalDevices returned {code}"
devices = (ctypes.c_void_p * count.value)()
vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices)
adapters = []
for device in devices:
    properties = ctypes.create_string_buffer(4096)  # VkPhysicalDeviceProperties is 824 bytes
    vulkan.vkGetPhysicalDeviceProperties(ctypes.c_void_p(device), properties)
    kind = int.from_bytes(properties.raw[16:20], sys.byteorder)
    adapters.append([properties.raw[20:276].split(b"\\0")[0].decode(errors="replace"), kind])
tell(adapters=adapters)
"""


def nvidia() -> list[Check]:
    path = shutil.which("nvidia-smi")
    if path is None:
        return [Check("NVIDIA driver", "optional", "no nvidia-smi")]
    query = [path, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    outcome = run(query, TOOL_LIMIT_S)
    if outcome.code == 0 and outcome.stdout.strip():
        return [Check("NVIDIA driver", "ok", "; ".join(outcome.stdout.strip().splitlines()))]
    mend = "install the driver again that fits the kernel, then restart"
    return [Check("NVIDIA driver", "broken", outcome.fault(), mend)]


def vulkan() -> list[Check]:
    if platform.system() == "Darwin":
        return [Check("Vulkan", "optional", "macOS has Metal in its place")]
    outcome = run_python(_VULKAN_CHILD, TOOL_LIMIT_S)
    facts = outcome.facts()
    if facts.get("found") is False:
        return [Check("Vulkan", "optional", "no loader (libvulkan.so.1)", install("libvulkan1", ""))]
    drivers = install("mesa-vulkan-drivers", "") + ", or the GPU maker's own driver"
    if outcome.code != 0:
        return [Check("Vulkan", "broken", outcome.fault(), drivers)]
    adapters = [_adapter(name, kind) for name, kind in facts.get("adapters", [])]
    if not adapters:
        return [Check("Vulkan", "optional", "the loader is here, a driver (ICD) is not", drivers)]
    return [Check("Vulkan", "ok", "; ".join(adapters))]


def _adapter(name: str, kind: int) -> str:
    """`kind` is VkPhysicalDeviceType. A renderer on the CPU is never called a GPU."""
    kinds = ("other", "integrated GPU", "discrete GPU", "virtual GPU", "software, not a GPU")
    return f"{name} ({kinds[kind] if 0 <= kind < len(kinds) else 'other'})"


def adb() -> list[Check]:
    path = shutil.which("adb")
    if path is None:
        mend = install("adb", "android-platform-tools")
        return [Check("adb", "optional", "not installed: no Android phone by cable", mend)]
    outcome = run([path, "version"], TOOL_LIMIT_S)
    if outcome.code != 0 or "Android Debug Bridge" not in outcome.stdout:
        return [Check("adb", "broken", outcome.fault(), install("adb", "android-platform-tools"))]
    detail = outcome.stdout.splitlines()[0].removeprefix("Android Debug Bridge ")
    # Asking for devices starts the server, and a doctor changes nothing: only a server that runs is asked.
    if not adbserver.is_up():
        return [Check("adb", "ok", f"{detail}; its server is not running, so no phones were listed")]
    devices = run([path, "devices"], TOOL_LIMIT_S)
    if devices.code != 0:
        return [Check("adb", "broken", f"{detail}; 'adb devices': {devices.fault()}", "adb kill-server")]
    phones = adbserver.phones(devices.stdout)
    listed = ", ".join(f"{serial} {state}" for serial, state in phones.items()) or "no phone"
    mends = {
        "unauthorized": "unlock the phone and accept this computer",
        "no permissions": install("android-sdk-platform-tools-common", ""),
        "offline": "plug the phone in again",
    }
    mend = "; ".join(text for word, text in mends.items() if word in listed)
    return [Check("adb", "ok", f"{detail}; {listed}", mend)]


def ssh() -> list[Check]:
    mend = install("openssh-client", "openssh")
    path = shutil.which("ssh")
    if path is None:
        return [Check("ssh", "optional", "not installed: no boards by ssh", mend)]
    outcome = run([path, "-V"], TOOL_LIMIT_S)
    text = (outcome.stderr + outcome.stdout).strip()
    if outcome.code != 0:
        return [Check("ssh", "broken", outcome.fault(), mend)]
    if not text.startswith("OpenSSH"):
        return [Check("ssh", "broken", f"{text[:100]}: not OpenSSH, whose ControlPersist is needed", mend)]
    return [Check("ssh", "ok", text.split(",")[0])]


# A driver may hang.
_CAMERA_CHILD = """
sys.path.append(sys.argv[1])
from edgebig.ondevice import cameras
every = cameras.found("/")
usable = [one for one in every if "problem" not in one]
tell(cameras=[one["path"] + " " + one["name"] for one in usable if one["by"] == "Video4Linux"],
     own=[one["name"] for one in usable if one["by"] == "libcamera"],
     picamera2=found("picamera2"),
     refused=[one["path"] for one in every if one["by"] == "Video4Linux" and "problem" in one])
"""
_PICAMERA2_MEND = "sudo apt install python3-picamera2, then: python3 -m venv --system-site-packages"


def camera() -> list[Check]:
    if platform.system() != "Linux":
        return [Check("camera", "optional", "found by OpenCV when it is opened; not examined here")]
    outcome = run_python(_CAMERA_CHILD, TOOL_LIMIT_S, str(Path(__file__).parents[2]))
    facts = outcome.facts()
    if outcome.code != 0:
        return [Check("camera", "broken", outcome.fault(), "unplug the camera and plug it in again")]
    own = [f"{name}, by libcamera" for name in facts["own"]]
    if own and not facts["picamera2"]:
        what = "; ".join([*facts["cameras"], *own])
        return [Check("camera", "broken", f"{what}, which this Python has no picamera2 for", _PICAMERA2_MEND)]
    if facts["cameras"] or own:
        return [Check("camera", "ok", "; ".join([*facts["cameras"], *own]))]
    if facts["refused"]:
        mend = "sudo usermod -aG video $USER, then log in again"
        return [Check("camera", "broken", f"{', '.join(facts['refused'])}: may not be opened", mend)]
    mend = "plug one in; videos, pictures and streams need none"
    return [Check("camera", "optional", "none that takes pictures (/dev/video*, libcamera)", mend)]


_PICAMERA2_CHILD = """
if not found("picamera2"):
    sys.exit()
from picamera2 import Picamera2
names = [camera["Model"] for camera in Picamera2.global_camera_info()]
tell(detail=version("picamera2") + ", cameras: " + (", ".join(names) or "none"))
"""


_OPENCV_CHILD = """
if not found("cv2"):
    sys.exit()
import cv2, numpy
assert cv2.resize(numpy.full((4, 4), 7, numpy.uint8), (2, 2)).tolist() == [[7, 7], [7, 7]]
tell(detail=cv2.__version__)
"""


def picamera2() -> list[Check]:
    return [_module("picamera2", _PICAMERA2_CHILD, "for a Raspberry Pi's own camera", _PICAMERA2_MEND)]


def opencv() -> list[Check]:
    return [
        _module(
            "OpenCV",
            _OPENCV_CHILD,
            "for cameras by USB, videos and streams",
            "pip install opencv-python-headless",
        )
    ]


def _module(name: str, child: str, purpose: str, mend: str) -> Check:
    outcome = run_python(child, TOOL_LIMIT_S)
    facts = outcome.facts()
    if facts.get("found") is False:
        return Check(name, "optional", f"not installed: {purpose}", mend)
    if outcome.code != 0:
        return Check(name, "broken", outcome.fault(), mend)
    return Check(name, "ok", facts["detail"])


CHROMIUM_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def chromium() -> list[Check]:
    mend = install("chromium", "--cask google-chrome")
    path = next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)
    if path is None:
        return [Check("Chromium", "optional", "not installed: it stands in for a phone in tests", mend)]
    version = run([path, "--version"], TOOL_LIMIT_S)
    if version.code != 0:
        return [Check("Chromium", "broken", version.fault(), mend)]
    page = "data:text/html,<script>document.write('six times seven is ' + 6 * 7)</script>"
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    flags = ["--headless", "--disable-gpu", "--user-data-dir=profile", *sandbox, "--dump-dom"]
    outcome = run([path, *flags, page], TOOL_LIMIT_S)
    if outcome.code == 0 and "is 42" in outcome.stdout:
        return [Check("Chromium", "ok", f"{version.stdout.strip()} ran a page")]
    return [Check("Chromium", "broken", f"{version.stdout.strip()}: {outcome.fault()}", mend)]


# The smallest programs for each processor: they exit with 42.
ELF_AARCH64 = (
    struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 183, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    + struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 132, 132, 0x1000)
    + struct.pack("<III", 0xD2800540, 0xD2800BA8, 0xD4000001)  # mov x0, #42; mov x8, #93; svc #0
)
ELF_ARM = (
    struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 2, 40, 1, 0x10054, 52, 0, 5 << 24, 52, 32, 1, 0, 0, 0)
    + struct.pack("<IIIIIIII", 1, 0, 0x10000, 0x10000, 96, 96, 5, 0x1000)
    + struct.pack("<III", 0xE3A0002A, 0xE3A07001, 0xEF000000)  # mov r0, #42; mov r7, #1; svc #0
)


def qemu() -> list[Check]:
    return [_emulator("qemu-aarch64", ELF_AARCH64), _emulator("qemu-arm", ELF_ARM)]


def _emulator(name: str, program: bytes) -> Check:
    path = shutil.which(f"{name}-static") or shutil.which(name)
    mend = install("qemu-user-static", "")
    if path is None:
        return Check(name, "optional", "not installed: it plays a board in tests", mend)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "exit42")
        file.write_bytes(program)
        file.chmod(0o755)
        outcome = run([path, str(file)], TOOL_LIMIT_S)
    if outcome.code != 42:
        return Check(name, "broken", outcome.fault(), mend)
    return Check(name, "ok", f"{path} ran a program")
