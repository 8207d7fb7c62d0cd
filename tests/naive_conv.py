"""A convolution by its definition: seven loops. Imports nothing from the simulator."""

from __future__ import annotations

import numpy as np


def direct_conv(x, w, stride, padding, dilation, groups, ceil):
    """``x`` (batch, channels, height, width), ``w`` (out, channels / groups, kernel height, width); result and MACs.

    ``stride`` and ``dilation``: a number or (height, width); ``padding`` also (top, left, bottom, right). Values
    outside the map are zeros, and are multiplied like any other.
    """
    batch, _, height, width = x.shape
    out_channels, per_group, high, wide = w.shape
    (down, across), (apart, aside) = pair(stride), pair(dilation)
    top, left, bottom, right = padding if isinstance(padding, tuple) and len(padding) == 4 else 2 * pair(padding)
    sizes = [
        windows(height + bottom - (apart * (high - 1) + 1), top, down, ceil),
        windows(width + right - (aside * (wide - 1) + 1), left, across, ceil),
    ]
    out = np.zeros((batch, out_channels, *sizes), x.dtype)
    macs = 0
    for b in range(batch):
        for o in range(out_channels):
            first = o // (out_channels // groups) * per_group
            for i in range(sizes[0]):
                for j in range(sizes[1]):
                    for c in range(per_group):
                        for p in range(high):
                            for q in range(wide):
                                macs += 1
                                y, z = i * down - top + p * apart, j * across - left + q * aside
                                if 0 <= y < height and 0 <= z < width:
                                    out[b, o, i, j] += x[b, first + c, y, z] * w[o, c, p, q]
    return out, macs


def pair(size):
    return size if isinstance(size, tuple) else (size, size)


def windows(last, before, step, ceil):
    """Starts from ``-before`` by ``step`` that are at most ``last``, and one more beyond it if ``ceil``."""
    count, start = 0, -before
    while start <= last:
        count, start = count + 1, start + step
    return count + 1 if ceil and start - step < last else count
