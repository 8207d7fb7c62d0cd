"""Convolutional networks: ResNet (He et al., CVPR 2016; stride in the 3x3, v1.5), MobileNet V1 and V2.

MobileNets: Howard et al., arXiv 1704.04861; Sandler et al., CVPR 2018. Batch normalisation is in the weights and the
bias of each convolution; its two parameters per channel are counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.config.workload import Conv
from simulator.workload.models.fields import Fields
from simulator.workload.models.heads import classifier
from simulator.workload.models.listing import Around, Listing

__all__ = ["mobilenet_v1", "mobilenet_v2", "resnet"]


@dataclass
class _Map:
    """The feature map so far, and convolutions on it."""

    listing: Listing
    size: int
    channels: int
    first: bool = True

    def conv(self, name: str, out: int, kernel: int, stride: int = 1, groups: int = 1, *after: Around,
             moves: bool = True) -> None:  # fmt: skip
        """A convolution with padding that keeps the size at stride 1; it becomes the map unless it is a branch."""
        made = Conv(name=name, in_channels=self.channels, height=self.size, width=self.size, out_channels=out,
                    kernel=kernel, stride=stride, padding=kernel // 2, groups=groups,
                    batch=self.listing.run.batch)  # fmt: skip
        before: list[Around] = []
        if self.first:
            pixels = self.listing.run.batch * self.size**2
            before = [{"kind": "quantise", "rows": pixels, "cols": self.channels}]
            after = tuple({"kind": p, "name": f"{name}.map.quantise"} if p == "quantise" else p for p in after)
        self.listing.conv(made, bias=False, normed=True, before=before, after=after)
        self.first = False
        if moves:
            self.size, self.channels = -(-self.size // stride), out

    def pooled(self, kind: str, size: int, channels: int, block: int) -> Around:
        """A pool of windows of so many values, whose result is a map of that size."""
        return {"kind": kind, "rows": self.listing.run.batch * size * size, "cols": channels, "block": block}


def resnet(fields: Fields, listing: Listing) -> None:
    """ResNet-18 to 152."""
    stem, widths, depths = (
        fields.count("embedding_size", default=64),
        fields.counts("hidden_sizes"),
        fields.counts("depths"),
    )
    if len(widths) != len(depths):
        raise fields.wrong("depths", f"must have as many entries as hidden_sizes, {len(widths)}; found {len(depths)}")
    deep = fields.one_of(("bottleneck", "basic"), "layer_type", default="bottleneck") == "bottleneck"
    image = _Map(
        listing, listing.run.image or fields.count("image_size", default=224), fields.count("num_channels", default=3)
    )
    half = -(-image.size // 2)
    small = -(-half // 2)
    maxed = image.pooled("max_pool", small, stem, 9)
    pooled: Around = {"kind": "quantise", "name": "conv1.pooled.quantise", "rows": maxed["rows"], "cols": stem}  # type: ignore[index]
    image.conv("conv1", stem, 7, 2, 1, "relu", maxed, pooled)
    image.size = small
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        for block in range(depth):
            stride = 2 if block == 0 and (stage > 1 or fields.flag("downsample_in_first_stage", False)) else 1
            last = stage == len(widths) and block == depth - 1
            _residual(image, f"layer{stage}.{block}", width, stride, deep, fields, last)
    classifier(listing, "fc", image.channels, fields.labels())


def _residual(image: _Map, name: str, width: int, stride: int, deep: bool, fields: Fields, last: bool) -> None:
    """One block: two 3x3, or 1x1, 3x3, 1x1; a 1x1 shortcut where sizes or channels change."""
    inner = width // 4 if deep else width
    early = fields.flag("downsample_in_bottleneck", False)
    shapes = [(inner, 1, stride if early else 1), (inner, 3, 1 if early else stride), (width, 1, 1)]
    shapes = shapes if deep else [(width, 3, stride), (width, 3, 1)]
    shortcut = stride != 1 or image.channels != width
    before = _Map(image.listing, image.size, image.channels, False)
    for i, (out, kernel, step) in enumerate(shapes, start=1):
        if i == len(shapes):
            if shortcut:
                before.conv(f"{name}.downsample", width, 1, stride)
            mean = image.pooled("mean_pool", 1, width, image.size**2)
            image.conv(f"{name}.conv{i}", out, kernel, step, 1, "residual", "relu", mean if last else "quantise")
        else:
            image.conv(f"{name}.conv{i}", out, kernel, step, 1, "relu", "quantise")


def _channels(value: float, multiple: int, least: int) -> int:
    """Nearest multiple, one step up if that loses more than a tenth."""
    made = max(least, int(value + multiple / 2) // multiple * multiple)
    return made + multiple if made < 0.9 * value else made


def _mobile(fields: Fields, listing: Listing) -> tuple[_Map, float, int, int]:
    image = _Map(
        listing, listing.run.image or fields.count("image_size", default=224), fields.count("num_channels", default=3)
    )
    return (
        image,
        fields.number("depth_multiplier", default=1.0),
        fields.count("depth_divisible_by", default=8),
        fields.count("min_depth", default=8),
    )


def mobilenet_v1(fields: Fields, listing: Listing) -> None:
    """Depthwise 3x3 and pointwise 1x1 in turn."""
    image, alpha, _, least = _mobile(fields, listing)
    image.conv("conv_stem", max(least, int(32 * alpha)), 3, 2, 1, "relu6", "quantise")
    layers = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for i, (width, stride) in enumerate(layers):
        out = max(least, int(width * alpha))
        image.conv(f"layer.{i}.depthwise", image.channels, 3, stride, image.channels, "relu6", "quantise")
        mean = image.pooled("mean_pool", 1, out, image.size**2)
        end: Around = mean if i == len(layers) - 1 else "quantise"
        image.conv(f"layer.{i}.pointwise", out, 1, 1, 1, "relu6", end)
    classifier(listing, "classifier", image.channels, fields.labels())


def mobilenet_v2(fields: Fields, listing: Listing) -> None:
    """Inverted residuals: 1x1 up, depthwise 3x3, 1x1 down without an activation."""
    image, alpha, multiple, least = _mobile(fields, listing)
    ratio = fields.number("expand_ratio", default=6)
    image.conv("conv_stem.first", _channels(32 * alpha, multiple, least), 3, 2, 1, "relu6", "quantise")
    stages = [(16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)]
    index = 0
    for width, repeats, first in stages:
        out = _channels(width * alpha, multiple, least)
        for repeat in range(repeats):
            stride, inputs = first if repeat == 0 else 1, image.channels
            wide = inputs if index == 0 else _channels(inputs * ratio, multiple, least)
            if index:
                image.conv(f"layer.{index}.expand", wide, 1, 1, 1, "relu6", "quantise")
            image.conv(f"layer.{index}.depthwise", wide, 3, stride, wide, "relu6", "quantise")
            added = ["residual"] if stride == 1 and inputs == out else []
            image.conv(f"layer.{index}.reduce", out, 1, 1, 1, *added, "quantise")
            index += 1
    kept = alpha < 1 and fields.flag("finegrained_output", True)  # narrow models keep their last layer wide
    wide = 1280 if kept else _channels(1280 * alpha, multiple, least)
    mean = image.pooled("mean_pool", 1, wide, image.size**2)
    image.conv("conv_1x1", wide, 1, 1, 1, "relu6", mean)
    classifier(listing, "classifier", image.channels, fields.labels())
