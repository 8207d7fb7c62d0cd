"""The sizes of a two-dimensional convolution, and what makes one impossible."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.errors import WorkloadError

__all__ = ["Axes", "ConvGeometry", "Padding", "ShapeError"]

Axes = int | tuple[int, int]
"""One number for both axes, or (along the height, along the width)."""

Padding = Axes | tuple[int, int, int, int]
"""As ``Axes``, for both ends of an axis alike, or (top, left, bottom, right)."""


class ShapeError(WorkloadError):
    """Sizes of a convolution that do not fit together; ``complaint`` is what is wrong with its ``field``."""

    def __init__(self, field: str, complaint: str) -> None:
        super().__init__(f"a convolution's {field} {complaint}")
        self.field = field
        self.complaint = complaint


@dataclass(frozen=True, slots=True)
class ConvGeometry:
    """A convolution of a map ``(batch, in_channels, height, width)`` into ``out_channels``.

    Args:
        ceil: the size of the result is rounded up: a last window reaches beyond the padding, over zeros. Else down, as
            in PyTorch.
    Raises: ShapeError if groups do not divide the channels or the kernel reaches beyond the map.
    """

    in_channels: int
    height: int
    width: int
    out_channels: int
    kernel: Axes
    stride: Axes = 1
    padding: Padding = 0
    dilation: Axes = 1
    groups: int = 1
    batch: int = 1
    ceil: bool = False

    def __post_init__(self) -> None:
        for field in ("in_channels", "out_channels"):
            if getattr(self, field) % self.groups:
                found = getattr(self, field)
                raise ShapeError(field, f"must be a multiple of groups, {self.groups}; found {found}")
        for field, reach, padded in zip(("height", "width"), self.reaches, self._padded, strict=True):
            if padded < reach:
                raise ShapeError("kernel", f"reaches over {reach} values, but {field} with its padding has {padded}")

    @property
    def kernels(self) -> tuple[int, int]:
        """Values of the kernel along height and width."""
        return _both(self.kernel)

    @property
    def strides(self) -> tuple[int, int]:
        """Steps of the window along height and width."""
        return _both(self.stride)

    @property
    def dilations(self) -> tuple[int, int]:
        """Distance between neighbours under the kernel, along height and width."""
        return _both(self.dilation)

    @property
    def pads(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Zeros (above, below) and (to the left, to the right) of the map."""
        if isinstance(self.padding, tuple) and len(self.padding) == 4:
            top, left, bottom, right = self.padding
            return (top, bottom), (left, right)
        down, across = _both(self.padding)
        return (down, down), (across, across)

    @property
    def reaches(self) -> tuple[int, int]:
        """Values along each axis from the kernel's first to its last, both included."""
        high, wide = (step * (size - 1) + 1 for size, step in zip(self.kernels, self.dilations, strict=True))
        return high, wide

    @property
    def out_height(self) -> int:
        """Rows of the result."""
        return self._out(0)

    @property
    def out_width(self) -> int:
        """Columns of the result."""
        return self._out(1)

    @property
    def _padded(self) -> tuple[int, int]:
        down, across = self.pads
        return self.height + sum(down), self.width + sum(across)

    def _out(self, axis: int) -> int:
        steps, stride = self._padded[axis] - self.reaches[axis], self.strides[axis]
        return (-(-steps // stride) if self.ceil else steps // stride) + 1


def _both(size: Padding) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
