"""The corrections of a patch in machine code; add.py says what it does.

Compiling this file to .mpy needs the target's -march, so it is installed as source, or frozen
by a firmware build, which knows its architecture. Without a native emitter the import fails and
add.py is used.
"""
# ruff: noqa: F821
# mypy: ignore-errors

import micropython


@micropython.viper
def add(out_buf, length: int, meta_buf, at: int, middle: int, end: int) -> bool:
    """Add the corrections; see add.py."""
    out = ptr8(out_buf)
    meta = ptr8(meta_buf)
    value: int = middle
    place: int = 0
    while at < middle:
        gap: int = int(meta[at])
        at += 1
        if gap > 127:
            gap &= 127
            shift: int = 7
            while True:
                if at == middle or shift > 28:
                    return False
                byte: int = int(meta[at])
                at += 1
                # No block is 2 MB long; so nothing here exceeds a small int either.
                if shift > 14 and byte & 127:
                    return False
                gap |= (byte & 127) << shift
                if byte < 128:
                    break
                shift += 7
        run: int = 1
        if gap & 1:
            run = 0
            shift = 0
            while True:
                if at == middle or shift > 28:
                    return False
                byte = int(meta[at])
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
        stop: int = place + run
        while place < stop:
            out[place] = int(out[place]) + int(meta[value])
            place += 1
            value += 1
    return value == end
