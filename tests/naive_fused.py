"""Wide products from narrow ones, as published: BitFusion's bricks, OliVe's halves. No simulator is imported."""

from __future__ import annotations


def digits(value, bits, signed=True):
    """Two-bit digits of a number of ``bits``, least significant first; the top one of a signed number is -2..1."""
    found = []
    for place in range(0, bits, 2):
        digit = value // 2**place % 4
        top = place == bits - 2
        found.append(digit - 4 if top and signed and digit >= 2 else digit)
    assert sum(d * 4**i for i, d in enumerate(found)) == value
    return found


def brick_product(a, a_bits, w, w_bits, a_signed=True, w_signed=True):
    """(product, bricks): the sum of all products of two digits, shifted to their places."""
    pairs = [
        (i, j, x, y)
        for i, x in enumerate(digits(a, a_bits, a_signed))
        for j, y in enumerate(digits(w, w_bits, w_signed))
    ]
    assert all(-2 <= x <= 3 and -2 <= y <= 3 for _, _, x, y in pairs)
    return sum(x * y * 4 ** (i + j) for i, j, x, y in pairs), len(pairs)


def parts(value, bits):
    """(part, its bits, is it signed, its shift): the number itself, or the halves of 16 bits, high one first."""
    return [(value // 256, 8, True, 8), (value % 256, 8, False, 0)] if bits == 16 else [(value, bits, True, 0)]


def passes(a, a_bits, w, w_bits):
    """What one product adds to the accumulator, pass after pass: activation halves outermost, high before low."""
    return [
        brick_product(x, x_bits, y, y_bits, x_signed, y_signed)[0] * 2 ** (x_shift + y_shift)
        for x, x_bits, x_signed, x_shift in parts(a, a_bits)
        for y, y_bits, y_signed, y_shift in parts(w, w_bits)
    ]


def first_overflow(act, weight, a_bits, w_bits, acc_bits):
    """Position of the first output of which a sum leaves the accumulator after any pass, or None."""
    for m, row in enumerate(act):
        for n, column in enumerate(weight):
            acc = 0
            for a, w in zip(row, column, strict=True):
                for term in passes(a, a_bits, w, w_bits):
                    acc += term
                    if not -(2 ** (acc_bits - 1)) <= acc < 2 ** (acc_bits - 1):
                        return m, n
    return None


def four_products(a, w):
    """Products of the halves of two exponent-integer operands ``(e, i)``: hh, hl, lh, ll."""
    (ae, ai), (we, wi) = a, w
    left, right = [(ae + 4, ai // 16), (ae, ai % 16)], [(we + 4, wi // 16), (we, wi % 16)]
    assert all(-8 <= i <= 15 for _, i in left + right)
    return [x * y * 2 ** (e + f) for e, x in left for f, y in right]
