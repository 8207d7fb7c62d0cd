"""Run a command; its output goes through, and a last line of JSON says what it took. ``measure.command`` starts it."""

import json
import os
import sys
import time


def main() -> None:
    start = time.perf_counter()
    pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    took = {"cpu_s": used.ru_utime + used.ru_stime, "wall_s": wall, "peak_mb": used.ru_maxrss / 1024}
    print("\n" + json.dumps(took))
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
