"""A convolution by its definition: seven loops. Imports nothing from the simulator."""

from __future__ import annotations

import numpy as np


def direct_conv(x, w, stride, padding, dilation, groups, ceil):
    """``x`` (batch, channels, height, width), ``w`` (out, channels / groups, kernel, kernel); returns result and MACs.

    Values outside the map are zeros, and are multiplied like any other.
    """
    batch, _, height, width = x.shape
    out_channels, per_group, kernel, _ = w.shape
    sizes = []
    for size in (height, width):
        count, start = 0, -padding
        last = size + padding - (dilation * (kernel - 1) + 1)
        while start <= last:
            count, start = count + 1, start + stride
        if ceil and start - stride < last:
            count += 1
        sizes.append(count)
    out = np.zeros((batch, out_channels, *sizes), x.dtype)
    macs = 0
    for b in range(batch):
        for o in range(out_channels):
            first = o // (out_channels // groups) * per_group
            for i in range(sizes[0]):
                for j in range(sizes[1]):
                    for c in range(per_group):
                        for p in range(kernel):
                            for q in range(kernel):
                                macs += 1
                                y, z = i * stride - padding + p * dilation, j * stride - padding + q * dilation
                                if 0 <= y < height and 0 <= z < width:
                                    out[b, o, i, j] += x[b, first + c, y, z] * w[o, c, p, q]
    return out, macs
