"""The tile pipeline as a recurrence: what each core asks its DMA for next, and first-come-first-served among cores.

``state`` (cores, STATE) holds where each core is. Its requests have an order: step 0 loads tile 0; steps 2i + 1 and
2i + 2 load tile i + 1 and store tile i. A load that finds blocks in the global buffer is two requests: what comes from
DRAM, then (BUFFERED) what comes from the buffer. A core's arrival depends on what was served before it alone, so the
earliest is always next; it is NEVER while a block that it wants is not in the buffer.

``layout`` (cores, 4): first tile, tiles, operand and output places of a core. ``durations`` (6 or 7, T) are in the
order of ``DURATIONS``; ``flags`` (3, T): whether a tile takes a place in the out scratchpad, whether it stores, and
whether it leaves that place without a store, once its results are out. ``stored`` (T,): per core a ring of when each of
its places in the out scratchpad is free again; PLACE is the one taken last, -1 at first.

Only with a global buffer (None without, so that nothing of it is compiled): the last row of ``durations``;
``bringers`` (2, T), which tiles bring the blocks that a tile finds there, -1: none; ``brought`` (T,), when what a tile
loads from DRAM is there, -1: not yet.
"""

from __future__ import annotations

from simulator.kernels import njit

DURATIONS = ("load", "array", "first_result", "drain", "fill", "store", "buffer")
STEP, PLACE, DMA_FREE, ARRIVAL, BUFFERED, STATE = range(6)
NEVER = 1 << 62


@njit(cache=True, allocates=False)
def _run_ideal(layout, durations, flags, bringers, dma, latency, state, stored, events, brought):
    """Fill ``events`` (T, 6) where DRAM is a channel at a fixed rate; ``dma`` (T,): cycles of a load for its DMA."""
    for c in range(len(layout)):
        _advance(c, layout, durations, flags, bringers, state, stored, events, brought)
    channel = port = 0
    while True:
        c = _next_core(state)
        if state[c, ARRIVAL] >= NEVER:
            return
        i = _tile(c, layout, state)
        if _is_buffered(c, state, brought):
            start = max(state[c, ARRIVAL], port)
            port = dma_free = end = start + durations[6, i]
        else:
            start = max(state[c, ARRIVAL], channel)
            if _is_store(state[c, STEP]):
                channel = dma_free = end = start + durations[5, i]
            else:
                channel = start + durations[0, i]
                dma_free = start + dma[i]
                end = dma_free + latency
        _served(c, start, dma_free, end, layout, durations, flags, bringers, state, stored, events, brought)
        _advance(c, layout, durations, flags, bringers, state, stored, events, brought)


@njit(cache=True, allocates=False)
def _next_core(state):
    """The core whose request arrives first; of several the lowest."""
    first = 0
    for c in range(1, len(state)):
        if state[c, ARRIVAL] < state[first, ARRIVAL]:
            first = c
    return first


@njit(cache=True, allocates=False)
def _is_store(step):
    return step > 0 and step & 1 == 0


@njit(cache=True, allocates=False)
def _is_buffered(c, state, brought):
    """Whether a core's next request is to the global buffer."""
    if brought is None:
        return False
    return state[c, BUFFERED] == 1


@njit(cache=True, allocates=False)
def _tile(c, layout, state):
    """The tile that a core's next request is about."""
    step = state[c, STEP]
    return layout[c, 0] + ((step >> 1) - 1 if _is_store(step) else (step + 1) >> 1)


@njit(cache=True, allocates=False)
def _advance(c, layout, durations, flags, bringers, state, stored, events, brought):
    """Run core ``c`` to its next transfer and note when that arrives; NEVER after the last."""
    if _is_buffered(c, state, brought):
        _ask_buffer(c, layout, bringers, state, brought)
        return
    first, tiles, depth = layout[c, 0], layout[c, 1], layout[c, 2]
    while state[c, STEP] <= 2 * tiles:
        step = state[c, STEP]
        i = _tile(c, layout, state)
        if _is_store(step):
            ready = events[i, 3] + durations[3, i]
            if flags[1, i]:
                state[c, ARRIVAL] = max(ready, state[c, DMA_FREE])
                return
            events[i, 4] = events[i, 5] = ready
            if flags[2, i]:
                stored[layout[c, 0] + state[c, PLACE]] = ready
        else:
            if step > 0:
                _compute(c, i - 1, layout, durations, flags, state, stored, events)
            if i < first + tiles:
                ready = events[i - depth, 3] if i - first >= depth else 0
                if durations[0, i] > 0:
                    state[c, ARRIVAL] = max(ready, state[c, DMA_FREE])
                    return
                if brought is not None and durations[6, i] > 0:
                    state[c, BUFFERED] = 1
                    state[c, DMA_FREE] = max(ready, state[c, DMA_FREE])
                    _ask_buffer(c, layout, bringers, state, brought)
                    return
                events[i, 0] = events[i, 1] = ready
        state[c, STEP] += 1
    state[c, ARRIVAL] = NEVER


@njit(cache=True, allocates=False)
def _ask_buffer(c, layout, bringers, state, brought):
    """When core ``c`` asks the global buffer for what its tile finds there: its DMA is free, and all of it is there."""
    if brought is None:
        return
    i = _tile(c, layout, state)
    state[c, ARRIVAL] = state[c, DMA_FREE]
    for bringer in bringers[:, i]:
        if bringer >= 0:
            there = brought[bringer] if brought[bringer] >= 0 else NEVER
            state[c, ARRIVAL] = max(state[c, ARRIVAL], there)


@njit(cache=True, allocates=False)
def _compute(c, i, layout, durations, flags, state, stored, events):
    """Tile ``i`` in the array: all that it waits for is known."""
    first = layout[c, 0]
    start = max(events[i - 1, 3] if i > first else 0, events[i, 1] + durations[4, i])
    end = start + durations[1, i]
    if flags[0, i]:
        state[c, PLACE] = state[c, PLACE] + 1 if state[c, PLACE] + 1 < layout[c, 3] else 0
        end = max(end, stored[first + state[c, PLACE]] + durations[1, i] - durations[2, i])
    events[i, 2], events[i, 3] = start, end


@njit(cache=True, allocates=False)
def _served(c, start, dma_free, end, layout, durations, flags, bringers, state, stored, events, brought):
    """Note what became of a core's request; its next one may arrive when the DMA is free."""
    i = _tile(c, layout, state)
    state[c, DMA_FREE] = dma_free
    if _is_store(state[c, STEP]):
        events[i, 4], events[i, 5] = start, end
        stored[layout[c, 0] + state[c, PLACE]] = end
    elif brought is None:
        events[i, 0], events[i, 1] = start, end
    else:
        _loaded(c, i, start, end, layout, durations, bringers, state, events, brought)
    state[c, STEP] += not _is_buffered(c, state, brought)


@njit(cache=True, allocates=False)
def _loaded(c, i, start, end, layout, durations, bringers, state, events, brought):
    """Note that one part of a load has been served, and what waits for it; the part from the buffer comes second."""
    if state[c, BUFFERED]:
        events[i, 0] = events[i, 0] if durations[0, i] > 0 else start
        events[i, 1] = max(events[i, 1], end)
        state[c, BUFFERED] = 0
        return
    events[i, 0], events[i, 1] = start, end
    state[c, BUFFERED] = 1 if durations[6, i] > 0 else 0
    brought[i] = end
    for other in range(len(layout)):
        if state[other, BUFFERED]:
            _ask_buffer(other, layout, bringers, state, brought)
