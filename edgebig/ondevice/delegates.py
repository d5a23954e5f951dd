"""A delegate that comes as a library of its own: the Edge TPU's, or any that exports TFLite's plug-in functions."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

from . import infer
from .faults import Fault

# libedgetpu's file, https://github.com/google-coral/libedgetpu
_EDGETPU = {"linux": "libedgetpu.so.1", "darwin": "libedgetpu.1.dylib", "win32": "edgetpu.dll"}
NAMED = (*infer.DELEGATES, "gpu", "edgetpu", "nnapi")


def load(path: str, runtime: str, delegate: str, threads: int, options: dict[str, str]) -> infer.Model:
    """A .tflite behind the library of `delegate`: "edgetpu", or a path. Raises Fault."""
    library = library_of(delegate)
    module = infer.load_runtime(runtime)
    try:
        # Before load_delegate, whose finalizer stumbles over a library that is none.
        _ = ctypes.CDLL(library).tflite_plugin_create_delegate
        loaded = module.load_delegate(library, options)
    except (ValueError, OSError, AttributeError) as error:
        raise _not_loaded(delegate, library, options, str(error)) from error
    return infer.Model(path, runtime, delegate, threads, loaded)


def library_of(delegate: str) -> str:
    """The file of a delegate's library. Raises Fault where the name is of none."""
    if delegate == "edgetpu":
        return _EDGETPU.get(sys.platform, _EDGETPU["linux"])
    if delegate == "nnapi":
        where = "Python on Android has no way to it" if _on_android() else "NNAPI is a part of Android"
        raise Fault(
            "unknown-delegate",
            f"no NNAPI here: {where}",
            "on a phone: kind = 'adb', runtime = 'benchmark_model'; legacy: Android 15 deprecates NNAPI",
        )
    if os.sep not in delegate and not delegate.endswith((".so", ".dylib")) and ".so." not in delegate:
        raise Fault(
            "unknown-delegate",
            f"no delegate '{delegate}'",
            f"use one of: {', '.join(NAMED)}, or the path of a library",
        )
    if os.sep in delegate and not os.path.isfile(delegate):
        raise Fault("no-delegate", f"{delegate}: no such file on the device", "put the library there")
    return delegate


def _on_android() -> bool:
    return hasattr(sys, "getandroidapilevel") or "ANDROID_ROOT" in os.environ


def _not_loaded(delegate: str, library: str, options: dict[str, Any], error: str) -> Fault:
    # The library's own words come behind the line that says whose they are.
    reason = (error.strip().splitlines() or ["its library says no more"])[-1]
    if delegate == "edgetpu":
        return Fault(
            "no-delegate",
            f"the Edge TPU cannot be used: {reason}",
            f"plug it in, and install its runtime, {library} (libedgetpu1-std, for this very TFLite)",
        )
    given = f" with {options}" if options else ""
    return Fault(
        "no-delegate",
        f"{library}: cannot be loaded as a delegate{given}: {reason}",
        "it must be a TFLite external delegate for this processor; its own manual says what options it takes",
    )
