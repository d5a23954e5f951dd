"""The GPUs that Vulkan's loader shows on this machine, asked through libvulkan itself; software that plays one too."""

from __future__ import annotations

import ctypes
import struct
import sys
from typing import Any

from .faults import Fault

LIBRARIES = {"linux": "libvulkan.so.1", "darwin": "libvulkan.1.dylib", "win32": "vulkan-1.dll"}
# VkPhysicalDeviceType, vulkan_core.h
_KINDS = ("other", "integrated", "discrete", "virtual", "software")
_VK_API_VERSION_1_1 = (1 << 22) | (1 << 12)
_VK_STRUCTURE_TYPE_APPLICATION_INFO = 0
_VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO = 1
_PROPERTIES_BYTES = 4096  # VkPhysicalDeviceProperties takes 824
_NAME_AT = 20  # behind five numbers of 32 bits: API, driver, vendor, device, type
_NAME_BYTES = 256


class _ApplicationInfo(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_uint32), ("next", ctypes.c_void_p), ("name", ctypes.c_char_p),
        ("version", ctypes.c_uint32), ("engine", ctypes.c_char_p), ("engine_version", ctypes.c_uint32),
        ("api_version", ctypes.c_uint32),
    ]  # fmt: skip


class _InstanceCreateInfo(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_uint32), ("next", ctypes.c_void_p), ("flags", ctypes.c_uint32),
        ("application", ctypes.POINTER(_ApplicationInfo)), ("layers", ctypes.c_uint32),
        ("layer_names", ctypes.c_void_p), ("extensions", ctypes.c_uint32), ("extension_names", ctypes.c_void_p),
    ]  # fmt: skip


def devices() -> list[dict[str, Any]]:
    """[{name, kind: integrated | discrete | virtual | software | other, vendor_id, driver_version}], as Vulkan says.

    Raises Fault where there is no loader, or no driver behind it.
    """
    vulkan, instance = _instance()
    try:
        return [_properties(vulkan, device) for device in _physical_devices(vulkan, instance)]
    finally:
        vulkan.vkDestroyInstance(instance, None)


def _instance() -> tuple[Any, Any]:
    library = LIBRARIES.get(sys.platform, LIBRARIES["linux"])
    try:
        vulkan = ctypes.CDLL(library)
    except OSError as error:
        raise Fault(
            "no-gpu",
            f"no Vulkan on this machine: {error}",
            "apt install libvulkan1, and the driver of your GPU; or delegate = 'xnnpack'",
        ) from error
    application = _ApplicationInfo(
        _VK_STRUCTURE_TYPE_APPLICATION_INFO, None, b"edgebig", 1, b"", 1, _VK_API_VERSION_1_1
    )
    wanted = _InstanceCreateInfo(
        _VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, None, 0, ctypes.pointer(application), 0, None, 0, None
    )
    instance = ctypes.c_void_p()
    status = vulkan.vkCreateInstance(ctypes.byref(wanted), None, ctypes.byref(instance))
    if status != 0:
        raise no_driver(f"vkCreateInstance gives {status}")
    return vulkan, instance


def _physical_devices(vulkan: Any, instance: Any) -> list[Any]:
    count = ctypes.c_uint32()
    status = vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    found = (ctypes.c_void_p * count.value)()
    if status == 0:
        status = vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), found)
    if status != 0 or not count.value:
        raise no_driver(f"vkEnumeratePhysicalDevices gives {status} and {count.value} devices")
    return [ctypes.c_void_p(device) for device in found]


def _properties(vulkan: Any, device: Any) -> dict[str, Any]:
    raw = ctypes.create_string_buffer(_PROPERTIES_BYTES)
    vulkan.vkGetPhysicalDeviceProperties(device, raw)
    _, driver_version, vendor_id, _, kind = struct.unpack_from("=5I", raw.raw)
    name = raw.raw[_NAME_AT : _NAME_AT + _NAME_BYTES].split(b"\0", 1)[0].decode(errors="replace")
    return {
        "name": name,
        "kind": _KINDS[kind] if kind < len(_KINDS) else "other",
        "vendor_id": f"{vendor_id:#06x}",
        "driver_version": driver_version,
    }


def no_driver(what: str) -> Fault:
    return Fault(
        "no-gpu",
        f"Vulkan finds no driver of a GPU: {what}",
        "install your GPU's Vulkan driver ('vulkaninfo --summary' must show it), or name its file: "
        "VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/...json; or delegate = 'xnnpack'",
    )
