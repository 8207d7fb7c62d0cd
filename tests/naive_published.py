"""The cost model of OliVe's and ANT's released simulator, from its description: the dumbest version, for one GEMM.

Output-stationary folds without fill and drain; tiles in powers of two that fit half of each scratchpad, searched for
least cycles, then least energy; cycles are the larger of computing and of a port of 1024 bits, and the first load and
last store; energy as configs/cost/olive_isca23.yaml charges it. Never run against that simulator.
"""

from __future__ import annotations

from math import ceil

PORT, STATIC_PJ = 1024, 969.23
HALF_BITS = {"act": 256 * 4096, "weight": 128 * 4096, "out": 128 * 4096}


def powers(size):
    p = 1
    while p < size:
        yield p
        p *= 2
    yield size


def cost(M, N, K, bits, units):
    """Cycles and energy [pJ] on ``units`` = (rows, columns) of PEs of 8 bits, each four of 4 bits."""
    rows, cols = (side * (2 if bits == 4 else 1) for side in units)
    found = []
    for m in powers(M):
        for n in powers(N):
            if m * n * 16 > HALF_BITS["out"]:
                continue
            for k in powers(K):
                if m * k * bits > HALF_BITS["act"] or n * k * bits > HALF_BITS["weight"]:
                    continue
                for order in ("mn", "nm"):
                    found.append(tiled(M, N, K, bits, (m, n, k), order, rows, cols))
    _, energy, cycles, compute = min(found)
    units_run = units[0] * units[1] * (0.128628 * cycles + 0.55992 * compute)
    return cycles, energy + STATIC_PJ * cycles + units_run


def tiled(M, N, K, bits, tile, order, rows, cols):
    m, n, k = tile
    at = ceil(M / m), ceil(N / n), ceil(K / k)
    compute = at[0] * at[1] * at[2] * ceil(m / rows) * ceil(n / cols) * k
    act = M * K * bits * (1 if at[1] == 1 or (at[2] == 1 and order == "mn") else at[1])
    weight = N * K * bits * (1 if at[0] == 1 or (at[2] == 1 and order == "nm") else at[0])
    out = M * N * 16
    steady = max(compute, (act + weight + out) / PORT)
    cycles = steady + ((m + n) * k * bits + m * n * 16) / PORT
    dram = (act + weight) * 0.6292 + out * 0.7657
    per_mac = M * N * K * bits * (0.0347 + 0.0330)
    buffers = per_mac + act * 0.0486 + weight * 0.0397 + out * at[2] * (0.0092 + 0.0130)
    return round(steady), dram + buffers, cycles, compute
