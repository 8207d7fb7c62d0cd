"""Which operands of a chain of kernels are in the L2 still: those touched so recently that nothing drove them out.

The L2 is taken to keep what was touched last (least recently used leaves first) and to keep a tensor whole or not at
all: a kernel that streams through more than fits finds, in that order, nothing of what it comes back to. Chains are
repeated, so what the last kernels leave is there for the first.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["held"]

Touch = tuple[str, int]
"""A tensor and its bytes."""


def held(chain: Sequence[Sequence[Touch]], capacity_bytes: int) -> list[list[bool]]:
    """For each touch of each kernel, whether all of the tensor is in the L2 when the kernel begins.

    Args:
        chain: what each kernel reads and writes, in order.
    """
    recent: dict[str, int] = {}
    found: list[list[bool]] = []
    for _ in range(2):  # the second time around begins with what the first one left
        found = []
        for touched in chain:
            kept = _kept(recent, capacity_bytes)
            found.append([name in kept for name, _ in touched])
            for name, size in touched:
                recent.pop(name, None)
                recent[name] = size
    return found


def _kept(recent: dict[str, int], capacity_bytes: int) -> set[str]:
    """Tensors that fit together, from the last one touched backwards."""
    kept, room = set(), capacity_bytes
    for name, size in reversed(recent.items()):
        room -= size
        if room < 0:
            break
        kept.add(name)
    return kept
