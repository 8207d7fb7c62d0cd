"""When kernels run that a host program asks for one by one: the host's time, the GPU's, and what neither hides.

The host works through its calls in order; a call that launches puts kernels into a queue and goes on. The GPU takes one
kernel after another from the queue, with a gap between neighbours. A call that waits lets all that was queued finish
first, and its answer takes a while to come back. So the GPU idles where the host is behind, and the host where it asks
for something that the GPU has not found yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.errors import ConservationError

__all__ = ["Asked", "HostTimes", "run_queue"]


@dataclass(frozen=True)
class HostTimes:
    """Cycles, of the GPU's clock, that a host program takes.

    Attributes:
        operation: of a call into the framework or library, one launch included.
        launch: of each further launch of a call.
        gap: between two kernels on the GPU.
        wait: from when the GPU is done until the host that waits goes on.
    """

    operation: int
    launch: int
    gap: int
    wait: int


@dataclass(frozen=True)
class Asked:
    """One step of a host program: calls, and the kernels that its last call launches.

    Attributes:
        kernels: cycles of each kernel, in order; none for calls that launch nothing.
        operations: calls, at least one.
        waits: whether the last call returns only when the GPU is done.
    """

    kernels: tuple[int, ...]
    operations: int = 1
    waits: bool = False

    def host_cycles(self, host: HostTimes) -> int:
        """Cycles until all is queued."""
        return self.operations * host.operation + max(0, len(self.kernels) - 1) * host.launch

    def gpu_cycles(self, host: HostTimes) -> int:
        """Cycles of its kernels and of the gap before each."""
        return sum(self.kernels) + len(self.kernels) * host.gap


def run_queue(steps: Sequence[Asked], host: HostTimes) -> int:
    """Cycles of one repetition of a program that is repeated for ever without waiting in between.

    Without a step that waits it is the longer of the host's cycles and the GPU's. With one, every repetition after the
    first takes the same time: host and GPU meet at each wait.

    Raises: ConservationError if a repetition is shorter than either.
    """
    host_cycles = sum(step.host_cycles(host) for step in steps)
    gpu_cycles = sum(step.gpu_cycles(host) for step in steps)
    if any(step.waits for step in steps):
        first, second = _repeat(steps, host, 2)
        period = second - first
    else:
        period = max(host_cycles, gpu_cycles)
    if period < max(host_cycles, gpu_cycles):
        raise ConservationError(f"{period} cycles of a program that takes the host {host_cycles}, the GPU {gpu_cycles}")
    return period


def _repeat(steps: Sequence[Asked], host: HostTimes, times: int) -> list[int]:
    """When the host's last wait of each repetition is over."""
    now = done = met = 0
    ends = []
    for _ in range(times):
        for step in steps:
            now += step.operations * host.operation
            for index, cycles in enumerate(step.kernels):
                now += host.launch if index else 0
                done = max(now, done) + host.gap + cycles
            if step.waits:
                now = met = max(now, done) + host.wait
        ends.append(met)
    return ends
