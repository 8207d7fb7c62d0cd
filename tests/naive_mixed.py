"""The dumbest correct LLM.int8() array: plain sums, and its passes counted tile by tile. Imports no simulator."""

from __future__ import annotations

import math

import numpy as np

from tests.naive import os_cycles


def matmul(codes, row_scale, weights, col_scale, halves, half_weights):
    """(M, N) float32 of int8 codes (M, K) and (N, K), scales, and outlier columns (M, O) and (N, O)."""
    out = np.zeros((len(codes), len(weights)), np.float32)
    for m, row in enumerate(codes):
        for n, column in enumerate(weights):
            integer = sum(a * w for a, w in zip(row, column, strict=True))
            half = np.float32(0)
            for a, w in zip(halves[m], half_weights[n], strict=True):
                half += np.float32(a) * np.float32(w)
            scale = np.float32(row_scale[m]) * np.float32(col_scale[n])
            out[m, n] = np.float32(integer) * scale + half
    return out


def period(steps, rows, cols, overlap):
    """What one more fold adds to the closed form."""
    one, two = (os_cycles(folds * rows, cols, steps, rows, cols, overlap) for folds in (1, 2))
    return two - one


def costs(tiles, K, columns, *, rows, overlap, fp16_cols, vector_lanes, from_dram):
    """What ``tile_costs`` must say of tiles given as dicts."""
    M, N = (max(t[f"{x}0"] + t[x] for t in tiles) for x in "mn")
    per_tile = []  # (FP16 array or vector unit waited for, in cycles; bytes loaded on top)
    act_read = act_written = weight_read = weight_written = quantised = 0
    merging = 0  # cycles that the vector unit still has for the tile before
    for t in tiles:
        last_chunk = t["k0"] + t["k"] == K
        here = [k for k in columns if t["k0"] <= k < t["k0"] + t["k"]]
        fp16 = 0
        if last_chunk and columns:
            for m in range(0, t["m"], rows):
                for n in range(0, t["n"], fp16_cols):
                    fp16 += period(len(columns), rows, fp16_cols, overlap)
                    act_read += min(rows, t["m"] - m) * len(columns)
                    weight_read += min(fp16_cols, t["n"] - n) * len(columns)
        if t is tiles[-1] and columns:  # nothing follows: both arrays empty
            fp16 += os_cycles(rows, fp16_cols, len(columns), rows, fp16_cols, overlap)
            fp16 -= period(len(columns), rows, fp16_cols, overlap) + t["drain_cycles"]
        imbalance = max(0, fp16 - t["issue_cycles"])
        behind = max(0, merging - t["issue_cycles"] - imbalance)
        merging = math.ceil(t["m"] * t["n"] / vector_lanes) if last_chunk else 0
        if t["act_load_bytes"]:
            quantised += t["m"] * t["k"]
            act_written += t["m"] * len(here)
        rows_of_w = t["n"] * len(here) if t["weight_load_bytes"] else 0
        weight_written += rows_of_w
        per_tile.append([imbalance, behind, 0, 2 * rows_of_w if from_dram else 0])
    per_tile[0][1] += math.ceil(M * K / vector_lanes)
    per_tile[-1][1] += merging
    per_tile[0][2] = 2 * M * K
    macs = M * N * len(columns)
    hops = sum(rows - m % rows for m in range(M)) * N if columns else 0
    return {
        "per_tile": per_tile,
        "act_buffer_bits": (16 * act_read, 16 * act_written),
        "weight_buffer_bits": (16 * weight_read, 16 * weight_written),
        "actions": {
            "scan_fp16": M * K,
            "quantise_int8_value": quantised,
            "gather_fp16": act_written,
            "dequantise_fp32": 0 if from_dram else weight_written,
            "mac_fp16_acc32": macs,
            "reg_bit": 32 * macs + 32 * hops,
        },
    }
