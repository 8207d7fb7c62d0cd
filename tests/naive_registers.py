"""Systolic arrays one register at a time, in plain Python: each cycle makes new registers from the old ones.

A period may be too short: then results are overwritten here as they are in hardware.
"""

from __future__ import annotations


def os_array(act, weight, rows, cols, period, double_buffered, result_words=1):
    """Output-stationary: (results {(m, n): value}, cycles) of integers (M, K) and (N, K)."""
    M, N, K = len(act), len(weight), len(act[0])
    col_folds = -(-N // cols)
    folds = -(-M // rows) * col_folds
    grid = [(r, c) for r in range(rows) for c in range(cols)]
    a, w, acc, out = (dict.fromkeys(grid, None if d == 0 else 0) for d in (0, 1, 2, 3))
    if not double_buffered:
        out = acc
    drain = [[] for _ in range(cols)]  # per column: hops still to make of each fold that is done
    left = [0] * cols
    found = {}
    cycle = 0

    def entering(line, lines, block, operand):
        """(fold, k, word) that enters a line in this cycle, or None."""
        fold, k = divmod(cycle - line, period)
        if cycle < line or fold >= folds or k >= K:
            return None
        index = block(fold) * lines + line
        return fold, k, operand[index][k] if index < len(operand) else 0

    while sum(left) < folds * rows * cols:
        for c in range(cols):
            if not drain[c]:
                continue
            drain[c][0] -= 1
            if drain[c][0] % result_words == 0:
                fold, position = divmod(left[c], rows)
                m, n = fold // col_folds * rows + rows - 1 - position, fold % col_folds * cols + c
                if m < M and n < N:
                    found[m, n] = out[rows - 1, c]
                column = [out[r, c] for r in range(rows)]
                for r in range(position + 1, rows):
                    out[r, c] = column[r - 1]
                left[c] += 1
            if drain[c][0] == 0:
                drain[c].pop(0)
        a = {(r, c): a[r, c - 1] if c else entering(r, rows, lambda f: f // col_folds, act) for r, c in grid}
        tops = [entering(c, cols, lambda f: f % col_folds, weight) for c in range(cols)]
        w = {(r, c): w[r - 1, c] if r else (tops[c][2] if tops[c] else 0) for r, c in grid}
        for r, c in grid:
            if a[r, c] is None:
                continue
            _, k, word = a[r, c]
            acc[r, c] = (0 if k == 0 else acc[r, c]) + word * w[r, c]
            if k == K - 1:
                out[r, c] = acc[r, c]
                if r == rows - 1:
                    drain[c].append(rows * result_words)
        cycle += 1
    return found, cycle


def held_array(stream, kept, rows, cols, period, double_buffered):
    """One operand held: (results {(m, n): value}, cycles) of integers (T, K) and (columns, K)."""
    T, K, columns = len(stream), len(stream[0]), len(kept)
    k_folds = -(-K // rows)
    folds = k_folds * -(-columns // cols)
    grid = [(r, c) for r in range(rows) for c in range(cols)]
    word, total = (dict.fromkeys(grid) for _ in range(2))
    use = dict.fromkeys(grid)
    load = dict.fromkeys(grid) if double_buffered else use
    memory = {}
    left = [0] * cols
    cycle = 0

    def entering(r):
        fold, m = divmod(cycle - rows - r, period)
        if cycle < rows + r or fold >= folds or m >= T:
            return None
        k = fold % k_folds * rows + r
        return fold, m, stream[m][k] if k < K else 0

    while sum(left) < folds * T * cols:
        for c in range(cols):
            if word[rows - 1, c] is not None:
                fold, m = divmod(left[c], T)
                memory[m, fold // k_folds * cols + c] = total[rows - 1, c]
                left[c] += 1
        word = {(r, c): word[r, c - 1] if c else entering(r) for r, c in grid}
        for c in range(cols):
            for r in range(rows - 1, 0, -1):
                total[r, c] = total[r - 1, c]
            fold, m = divmod(cycle - rows - c, period)
            n = fold // k_folds * cols + c
            total[0, c] = memory.get((m, n), 0) if fold % k_folds else 0
        for pe in grid:
            if word[pe] is None:
                continue
            if word[pe][1] == 0:
                use[pe] = load[pe]
            if use[pe] is not None:
                total[pe] += word[pe][2] * use[pe]
        for c in range(cols):
            fold, entered = divmod(cycle - c, period)
            if cycle < c or fold >= folds or entered >= rows:
                continue
            for r in range(entered, 0, -1):
                load[r, c] = load[r - 1, c]
            k, n = fold % k_folds * rows + rows - 1 - entered, fold // k_folds * cols + c
            load[0, c] = kept[n][k] if k < K and n < columns else None
        cycle += 1
    return {(m, n): value for (m, n), value in memory.items() if n < columns}, cycle
