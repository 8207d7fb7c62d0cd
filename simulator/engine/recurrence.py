"""The tile pipeline as a recurrence: what each core asks its DMA for next, and first-come-first-served among cores.

``state`` (cores, STATE) holds where each core is. Its requests have an order: step 0 loads tile 0; steps 2i + 1 and
2i + 2 load tile i + 1 and store tile i. A core's arrival depends on its own past alone, so the earliest is always next.

``layout`` (cores, 4): first tile, tiles, operand and output places of a core. ``durations`` (6, T) are in the order of
``DURATIONS``; ``flags`` (2, T): whether a tile takes a place in the out scratchpad, and whether it stores. ``stored``
(T,): per core a ring of when the store that frees each of its places in the out scratchpad has ended; PLACE is the one
taken last, -1 at first.
"""

from __future__ import annotations

from numba import njit

DURATIONS = ("load", "array", "first_result", "drain", "fill", "store")
STEP, PLACE, DMA_FREE, ARRIVAL, STATE = range(5)
NEVER = 1 << 62


@njit(cache=True)
def _run_ideal(layout, durations, flags, dma, latency, state, stored, events):
    """Fill ``events`` (T, 6) where DRAM is a channel at a fixed rate; ``dma`` (T,): cycles of a load for its DMA."""
    for c in range(len(layout)):
        _advance(c, layout, durations, flags, state, stored, events)
    channel = 0
    while True:
        c = _next_core(state)
        if state[c, ARRIVAL] >= NEVER:
            return
        start = max(state[c, ARRIVAL], channel)
        i = _tile(c, layout, state)
        if _is_store(state[c, STEP]):
            channel = start + durations[5, i]
            _served(c, start, channel, channel, layout, state, stored, events)
        else:
            channel = start + durations[0, i]
            _served(c, start, start + dma[i], start + dma[i] + latency, layout, state, stored, events)
        _advance(c, layout, durations, flags, state, stored, events)


@njit(cache=True)
def _next_core(state):
    """The core whose request arrives first; of several the lowest."""
    first = 0
    for c in range(1, len(state)):
        if state[c, ARRIVAL] < state[first, ARRIVAL]:
            first = c
    return first


@njit(cache=True)
def _is_store(step):
    return step > 0 and step & 1 == 0


@njit(cache=True)
def _tile(c, layout, state):
    """The tile that a core's next request is about."""
    step = state[c, STEP]
    return layout[c, 0] + ((step >> 1) - 1 if _is_store(step) else (step + 1) >> 1)


@njit(cache=True)
def _advance(c, layout, durations, flags, state, stored, events):
    """Run core ``c`` to its next transfer and note when that arrives; NEVER after the last."""
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
        else:
            if step > 0:
                _compute(c, i - 1, layout, durations, flags, state, stored, events)
            if i < first + tiles:
                ready = events[i - depth, 3] if i - first >= depth else 0
                if durations[0, i] > 0:
                    state[c, ARRIVAL] = max(ready, state[c, DMA_FREE])
                    return
                events[i, 0] = events[i, 1] = ready
        state[c, STEP] += 1
    state[c, ARRIVAL] = NEVER


@njit(cache=True)
def _compute(c, i, layout, durations, flags, state, stored, events):
    """Tile ``i`` in the array: all that it waits for is known."""
    first = layout[c, 0]
    start = max(events[i - 1, 3] if i > first else 0, events[i, 1] + durations[4, i])
    end = start + durations[1, i]
    if flags[0, i]:
        state[c, PLACE] = state[c, PLACE] + 1 if state[c, PLACE] + 1 < layout[c, 3] else 0
        end = max(end, stored[first + state[c, PLACE]] + durations[1, i] - durations[2, i])
    events[i, 2], events[i, 3] = start, end


@njit(cache=True)
def _served(c, start, dma_free, end, layout, state, stored, events):
    """Note what became of a core's request; its next one may arrive when the DMA is free."""
    i = _tile(c, layout, state)
    if _is_store(state[c, STEP]):
        events[i, 4], events[i, 5] = start, end
        stored[layout[c, 0] + state[c, PLACE]] = end
    else:
        events[i, 0], events[i, 1] = start, end
    state[c, DMA_FREE] = dma_free
    state[c, STEP] += 1
