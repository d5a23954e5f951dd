"""A window that shows the camera, by tkinter and Pillow, where there is a screen."""

from __future__ import annotations

import base64
import io
import os
import platform
import time
from typing import Any

from edgebig.camera import Closed
from edgebig.camera.terminal import figures, reading
from edgebig.drivers.protocol import Event
from edgebig.errors import EdgebigError

_LOOK_S = 0.05


class Window:
    """Raises EdgebigError where there is no screen, or no tkinter. It is drawn by the thread that made it."""

    def __init__(self) -> None:
        if not has_screen():
            raise EdgebigError("there is no screen here (DISPLAY is not set)", "--show page")
        try:
            import tkinter as tk

            from PIL import Image, ImageTk
        except ImportError as error:
            raise EdgebigError(
                f"no window can be drawn: {error}",
                "sudo apt install python3-tk python3-pil.imagetk; or --show page",
            ) from error
        self._image, self._photo = Image, ImageTk.PhotoImage
        try:
            self._root = tk.Tk()
        except tk.TclError as error:
            raise EdgebigError(f"no window can be opened: {error}", "--show page") from error
        self._closed = False
        self._shown: Any = None
        self._root.title("edgebig camera")
        self._root.protocol("WM_DELETE_WINDOW", self._close)
        for key in ("<Escape>", "q", "<Control-w>"):
            self._root.bind(key, lambda _: self._close())
        self._picture = tk.Label(self._root, text="waiting for the first picture", width=60, height=20)
        self._reading = tk.Label(self._root, font=("TkDefaultFont", 28, "bold"))
        self._figures = tk.Label(self._root, font="TkFixedFont", anchor="w")
        for part in (self._picture, self._reading, self._figures):
            part.pack(fill="x")

    def show(self, event: Event) -> None:
        """Raises Closed where the user closed it."""
        if event["event"] == "frame":
            self._reading["text"] = reading(event)
            self._figures["text"] = figures(event)
        elif event["event"] == "end":
            self._figures["text"] = "the source has ended; close the window, or press Esc"
        if "jpeg" in event:
            picture = self._image.open(io.BytesIO(base64.b64decode(event["jpeg"])))
            picture.thumbnail((self._root.winfo_screenwidth(), int(self._root.winfo_screenheight() * 0.8)))
            # Tk keeps no reference to it.
            self._shown = self._photo(picture)
            self._picture.configure(image=self._shown, width=picture.width, height=picture.height)
        self._root.update()
        if self._closed:
            raise Closed

    def stay(self) -> None:
        """Until it is closed."""
        while not self._closed:
            self._root.update()
            # Not by mainloop, which is deaf to Ctrl-C while nothing happens.
            time.sleep(_LOOK_S)

    def close(self) -> None:
        self._root.destroy()

    def _close(self) -> None:
        self._closed = True


def has_screen() -> bool:
    """On Linux as X11 and Wayland tell it; elsewhere there is one, unless this came in by ssh."""
    if platform.system() == "Linux":
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return "SSH_CONNECTION" not in os.environ
