"""Adds the corrections of a patch; add_viper.py does the same in machine code.

`add(out, length, meta, at, middle, end)` adds the values meta[middle:end] to bytes of
out[:length], at the places that the gaps meta[at:middle] name (docs/format-delta.md). It
returns True if both were consumed exactly within length, else False; out is undefined then.
"""


def add(out: memoryview, length: int, meta: memoryview, at: int, middle: int, end: int) -> bool:
    """Add the corrections; see the head of this file."""
    value = middle
    place = 0
    while at < middle:
        gap = meta[at]
        at += 1
        if gap > 127:
            gap &= 127
            shift = 7
            while True:
                if at == middle or shift > 28:
                    return False
                byte = meta[at]
                at += 1
                # No block is 2 MB long; so nothing here exceeds a small int either.
                if shift > 14 and byte & 127:
                    return False
                gap |= (byte & 127) << shift
                if byte < 128:
                    break
                shift += 7
        run = 1
        if gap & 1:
            run = 0
            shift = 0
            while True:
                if at == middle or shift > 28:
                    return False
                byte = meta[at]
                at += 1
                if shift > 14 and byte & 127:
                    return False
                run |= (byte & 127) << shift
                if byte < 128:
                    break
                shift += 7
            run += 2
        place += gap >> 1
        if place + run > length or value + run > end:
            return False
        stop = place + run
        while place < stop:
            out[place] = (out[place] + meta[value]) & 255
            place += 1
            value += 1
    return value == end
