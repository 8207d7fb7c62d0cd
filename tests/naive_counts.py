"""Every count of one int8 GEMM by loops over tiles, folds, values and bits: nothing here imports the simulator.

Values of 8 bits, sums of 32, results of 16, one step per value of K.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import product

ACC_BYTES, OUT_BYTES = 4, 2


def counts(shape, block, order, rows, cols, dataflow, words, burst, layouts=("k_major", "k_major")):
    """(level, operand) -> [reads, writes, read_bytes, write_bytes] of A[M,K] x W[K,N] in blocks, loops as in ``order``.

    ``words``: bits of a word of the act, weight and out scratchpads.
    """
    found = defaultdict(lambda: [0, 0, 0, 0])
    sizes = dict(zip("mnk", shape, strict=True))
    cuts = {
        d: [range(s, min(s + b, sizes[d])) for s in range(0, sizes[d], b)] for d, b in zip("mnk", block, strict=True)
    }
    tiles = [dict(zip(order, ranges, strict=True)) for ranges in product(*(cuts[d] for d in order))]
    loaded = {"act": None, "weight": None}
    for index, tile in enumerate(tiles):
        for side, lines, word, layout in (("act", "m", words[0], layouts[0]), ("weight", "n", words[1], layouts[1])):
            if loaded[side] != (tile[lines], tile["k"]):
                loaded[side] = tile[lines], tile["k"]
                values = [(line, k) for line in tile[lines] for k in tile["k"]]
                _transfer(found["dram", side], 0, len(values), burst)
                _touch(found[f"{side}_buffer", side], 1, _words(tile, lines, values, word, layout), len(values))
        place = tile["m"], tile["n"]
        outputs = len(tile["m"]) * len(tile["n"])
        row_words = _sum_rows(tile, dataflow, words[2])
        if index and (tiles[index - 1]["m"], tiles[index - 1]["n"]) != place and tile["k"][0] > 0:
            _transfer(found["dram", "out"], 0, outputs * ACC_BYTES, burst)
            _touch(found["out_buffer", "out"], 1, row_words, outputs * ACC_BYTES)
        finished = tile["k"][-1] == sizes["k"] - 1
        _folds(found, tile, finished, rows, cols, dataflow, words, layouts)
        if index + 1 == len(tiles) or (tiles[index + 1]["m"], tiles[index + 1]["n"]) != place:
            _transfer(found["dram", "out"], 1, outputs * (OUT_BYTES if finished else ACC_BYTES), burst)
            _touch(found["out_buffer", "out"], 0, row_words, outputs * ACC_BYTES)
    macs = shape[0] * shape[1] * shape[2]
    found["pe", "mac"] = [macs, macs, 0, 0]
    return dict(found)


def _transfer(record, way, size, burst):
    record[way] += -(-size // burst)
    record[2 + way] += size


def _touch(record, way, words, size):
    record[way] += words
    record[2 + way] += size


def _words(tile, lines, values, word, layout):
    """Words that hold these values of a block, each line or each step of K beginning a word."""
    line0, k0 = tile[lines][0], tile["k"][0]
    if layout == "k_major":
        return len({(line, (k - k0) * 8 // word) for line, k in values})
    return len({(k, (line - line0) * 8 // word) for line, k in values})


def _sum_rows(tile, dataflow, word):
    """Words of all sums of a tile: neighbours along the array's columns share words."""
    lines, across = ("n", "m") if dataflow == "is" else ("m", "n")
    return len(tile[lines]) * _row_words(tile, across, tile[across], word)


def _cut(values, size):
    return [values[i : i + size] for i in range(0, len(values), size)]


def _folds(found, tile, finished, rows, cols, dataflow, words, layouts):
    if dataflow == "os":
        for m, n in product(_cut(tile["m"], rows), _cut(tile["n"], cols)):
            _os_fold(found, tile, m, n, finished, rows, words, layouts)
        return
    lines, across = ("m", "n") if dataflow == "ws" else ("n", "m")
    for k, columns in product(_cut(tile["k"], rows), _cut(tile[across], cols)):
        _held_fold(found, tile, k, lines, columns, across, rows, words, layouts)


def _read(found, side, tile, lines, values, words, layouts):
    """Values that a fold reads from their scratchpad and that enter the array, each once."""
    which = ("act", "weight").index(side)
    _touch(found[f"{side}_buffer", side], 0, _words(tile, lines, values, words[which], layouts[which]), len(values))
    _touch(found["edge", side], 1, len(values), len(values))


def _os_fold(found, tile, m, n, finished, rows, words, layouts):
    _read(found, "act", tile, "m", [(line, k) for line in m for k in tile["k"]], words, layouts)
    _read(found, "weight", tile, "n", [(line, k) for line in n for k in tile["k"]], words, layouts)
    for _ in product(m, n, tile["k"]):
        _touch(found["registers", "act"], 1, 1, 1)
        _touch(found["registers", "weight"], 1, 1, 1)
    if not finished:
        return
    for r, _ in enumerate(m):
        for _ in n:
            _touch(found["registers", "out"], 1, rows - r, (rows - r) * ACC_BYTES)
            _touch(found["edge", "out"], 0, 1, ACC_BYTES)
        _touch(found["out_buffer", "out"], 1, _row_words(tile, "n", n, words[2]), len(n) * ACC_BYTES)


def _row_words(tile, across, columns, word):
    return len({((x - tile[across][0]) * 32 + bit) // word for x in columns for bit in range(32)})


def _held_fold(found, tile, k, lines, columns, across, rows, words, layouts):
    streamed, kept = ("act", "weight") if lines == "m" else ("weight", "act")
    _read(found, streamed, tile, lines, [(line, step) for line in tile[lines] for step in k], words, layouts)
    _read(found, kept, tile, across, [(column, step) for column in columns for step in k], words, layouts)
    for r, _ in enumerate(k):
        for _ in columns:
            _touch(found["registers", kept], 1, r + 1, r + 1)
    for _ in tile[lines]:
        for _ in product(k, columns):
            _touch(found["registers", streamed], 1, 1, 1)
        size = len(columns) * ACC_BYTES
        touched = _row_words(tile, across, columns, words[2])
        if k[0] > 0:
            _touch(found["out_buffer", "out"], 0, touched, size)
            _touch(found["edge", "out"], 1, len(columns), size)
        _touch(found["registers", "out"], 1, rows * len(columns), rows * size)
        _touch(found["edge", "out"], 0, len(columns), size)
        _touch(found["out_buffer", "out"], 1, touched, size)
