"""tail4: four bits a value, small steps near zero and a long tail, on the PEs that OliVe's encoding uses."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit

from simulator.datapath import Accumulation, Datapath, exact_product, register, require_fit
from simulator.formats import GridFormat


@dataclass(frozen=True)
class Tail4(GridFormat):
    """0, 1, 2, 3, 4, 6, 12 and a largest magnitude, with a sign: each an integer of two bits, shifted."""

    name, bits, values_per_group = "tail4", 4, 2
    last_shift: int = 3
    max_normal = property(lambda self: 3 << self.last_shift)

    @property
    def values(self):  # of each of the 16 codes: a sign, then three bits
        magnitudes = np.array([0, 1, 2, 3, 2 << 1, 3 << 1, 3 << 2, 3 << self.last_shift], np.int32)
        return np.concatenate([magnitudes, -magnitudes])


@njit
def _mac(state, act, weight):  # one step of one PE; a word is an integer, times 16, and its shift
    state[0] += ((act >> 4) * (weight >> 4)) << ((act & 15) + (weight & 15))


@register("tail4")
@dataclass(frozen=True)
class Tail4Mac(Datapath):
    """Four bits with a long tail: decoders at the array's edge, exponent-integer PEs, int32 sums."""

    last_shift: Literal[3, 4, 5] = 3
    """Shift of the largest magnitude, which makes it 24, 48 or 96."""
    mac = staticmethod(_mac)
    act_format = weight_format = property(lambda self: Tail4(self.last_shift))
    accumulation = Accumulation("int", 32)

    def actions_per_mac(self):
        return {"mac_ei4_acc32": 1}

    def actions_per_operand(self, operand):  # assumed: a table of eight entries costs what flint4's decoder does
        return {"decode_flint4": 1}

    def area_bill(self, rows, cols):
        return {"pe_ei4_acc32": rows * cols, "decoder_flint4": rows + cols}

    def edge_words(self, encoded, operand):  # what the decoders make of packed codes; the format is not asked
        codes = np.stack([encoded.codes >> 4, encoded.codes & 15], -1).reshape(len(encoded.codes), -1)
        codes, words = codes[:, : encoded.length], np.array([0, 16, 32, 48, 33, 49, 50, 48 | self.last_shift])
        return np.where(codes & 8, -1, 1) * (words >> 4)[codes & 7] << 4 | (words & 15)[codes & 7]

    def matmul(self, act, weight):
        a, w = ((word >> 4) << (word & 15) for word in (self.edge_words(act, "act"), self.edge_words(weight, "weight")))
        require_fit(a, w, 32, self.name)  # a sum that leaves 32 bits is an error that says where
        return exact_product(a, w)
