"""A host that asks a GPU for kernels one by one, as two processes of SimPy."""

import simpy


def repetitions(steps, operation, launch, gap, wait, times):
    """``steps``: (kernels, calls, whether the host waits). When all is done, and when each repetition is for it."""
    env = simpy.Environment()
    queue = simpy.Store(env)
    ends = []

    def gpu():
        while True:
            cycles, done = yield queue.get()
            yield env.timeout(gap + cycles)
            done.succeed()

    def host():
        last = None
        for _ in range(times):
            for kernels, calls, waits in steps:
                yield env.timeout(calls * operation)
                for index, cycles in enumerate(kernels):
                    if index:
                        yield env.timeout(launch)
                    last = env.event()
                    queue.put((cycles, last))
                if waits:
                    if last is not None and not last.processed:
                        yield last
                    yield env.timeout(wait)
            ends.append((env.now, last))
        if last is not None and not last.processed:
            yield last

    env.process(gpu())
    finished = env.process(host())
    env.run(until=finished)
    return env.now, [now for now, _ in ends]
