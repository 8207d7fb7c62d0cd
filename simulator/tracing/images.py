"""An image file as what a vision model reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from simulator.errors import TraceError
from simulator.tracing.messages import one_line
from simulator.tracing.products import F32

__all__ = ["read_image"]

_FORMATS = ("PNG", "JPEG", "BMP")
_MOST_PIXELS = 1 << 26


def read_image(path: Path, side: int | None, mean: tuple[float, ...], deviation: tuple[float, ...]) -> F32:
    """A PNG, JPEG or BMP file as (1, 3, H, W): colours of 0 to 1, less ``mean``, over ``deviation``.

    Its shorter side is brought to ``side`` pixels (bicubic) and the middle is cut out, unless it has that size already;
    None leaves it as it is. A ``.npy`` file holds such an array, or (3, H, W), itself and is taken unchanged.
    Raises: TraceError if it is no such file.
    """
    if path.suffix == ".npy":
        return _ready_array(path, side)
    image = _opened(path)
    if side is not None and image.size != (side, side):
        image = _cut_to(image, side)
    colours = np.asarray(image, np.float32) / np.float32(255)
    normal = (colours - np.array(mean, np.float32)) / np.array(deviation, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None], np.float32)


def _opened(path: Path) -> Pillow.Image:
    try:
        with Pillow.open(path, formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise TraceError(f"{path}: {image.width} x {image.height} pixels are too many; at most {_MOST_PIXELS}")
            return image.convert("RGB")
    except UnidentifiedImageError:
        raise TraceError(f"{path}: not a readable image; known: {', '.join(_FORMATS)} and .npy") from None
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise TraceError(f"{path}: cannot read the image: {one_line(error)}") from None


def _cut_to(image: Pillow.Image, side: int) -> Pillow.Image:
    """The shorter side resized, the middle square cut out."""
    factor = side / min(image.size)
    width, height = (max(side, round(length * factor)) for length in image.size)
    left, top = (width - side) // 2, (height - side) // 2
    resized = image.resize((width, height), Pillow.Resampling.BICUBIC)
    return resized.crop((left, top, left + side, top + side))


def _ready_array(path: Path, side: int | None) -> F32:
    try:
        values = np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise TraceError(f"{path}: not a readable .npy file of numbers: {one_line(error)}") from None
    shape = values.shape[1:] if values.ndim == 4 and len(values) == 1 else values.shape
    wanted = f"[3, {side or 'H'}, {side or 'W'}]"
    if values.dtype.kind != "f" or len(shape) != 3 or shape[0] != 3 or 0 in shape or side not in (None, *shape[1:2]):
        raise TraceError(f"{path}: holds {values.dtype} {list(values.shape)}, expected floats {wanted}")
    if shape[1] != shape[2] and side is not None:
        raise TraceError(f"{path}: holds {values.dtype} {list(values.shape)}, expected floats {wanted}")
    image = np.asarray(values, np.float32).reshape(1, *shape)
    if not np.isfinite(image).all():
        raise TraceError(f"{path}: holds a value that is no finite number")
    return image
