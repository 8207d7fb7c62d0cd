"""Where work runs: in this process, in others of this machine, or on a Dask cluster. The results are the same."""

from simulator.study.executors.automatic import executor
from simulator.study.executors.inline import Inline
from simulator.study.executors.local import Local
from simulator.study.executors.protocol import Died, Executor, Listed, Supply

__all__ = ["Died", "Executor", "Inline", "Listed", "Local", "Supply", "executor"]
