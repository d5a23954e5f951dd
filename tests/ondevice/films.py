"""What stands for a camera in tests: pages with digits that move a little, as pictures or as a lossless video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "digits-int8.tflite"
Bytes = npt.NDArray[np.uint8]


def page(text: str = "314", shift: int = 0, size: tuple[int, int] = (320, 240)) -> Bytes:
    """uint8 (H, W): embedded digits four times as large, dark on paper, `shift` pixels to the right and down."""
    with np.load(ROOT / "edgebig" / "zoo" / "digits-5k.npz") as data:
        images, labels = data["images"][data["split"] == 2], data["labels"][data["split"] == 2]
    width, height = size
    paper = np.full((height, width), 230, np.uint8)
    for place, label in enumerate(text):
        digit = np.kron(images[labels == int(label)][4].reshape(28, 28), np.ones((3, 3), np.uint8))
        top, left = 60 + shift, 12 + shift + 98 * place
        paper[top : top + 84, left : left + 84] -= (digit * 0.8).astype(np.uint8)
    return paper


def video(path: Path, pages: list[Bytes], per_s: float = 30.0) -> Path:
    """FFV1 in Matroska, without loss."""
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV")
    height, width = pages[0].shape
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"FFV1"), per_s, (width, height)
    )
    assert writer.isOpened()
    for grey in pages:
        writer.write(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def pictures(folder: Path, pages: list[Bytes]) -> Path:
    folder.mkdir()
    for number, grey in enumerate(pages):
        Image.fromarray(grey).save(folder / f"page-{number}.png")
    return folder


def task(source: object, **changes: Any) -> dict[str, Any]:
    """For ondevice.camera.run, with the golden model."""
    values = {
        "schema": 1, "model": str(GOLDEN), "runtime": "ai-edge-litert", "delegate": "xnnpack", "threads": 1,
        "gpu_precision": "float32", "delegate_options": {}, "threshold": None,
        "preprocessing": {"low": 0.0, "high": 1.0, "ink_is_high": True, "framing": "ink"},
        "classes": [str(digit) for digit in range(10)],
        "source": str(source), "size": [640, 480], "rotate": 0, "every_frame_of": "files", "hold": 0, "jpeg": None,
        "png": False,
    }  # fmt: skip
    return {**values, **changes}
