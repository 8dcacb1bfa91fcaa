"""Images and packages of the tests, the same on both interpreters.

image(n, size) is version n of a compressible image; packages made from them by
tests/tools/make_vectors.py lie in tests/vectors/update. The keys are for tests only.
"""

KEY = {"type": "hmac", "secret": "00112233445566778899aabbccddeeff" * 2}
PRODUCT = "rig"

# Versions differ by an insertion near the front (everything moves), edits and a new tail.
_EDITS = {1: (), 2: (1, 9), 3: (1, 9, 14)}


def image(n, size):
    """Version n (1..3) of an image of `size` bytes, a little longer from version to version.

    4 is 2 with two pieces exchanged, so that in place each wants what the other overwrites.
    """
    if n == 4:
        out = image(2, size)
        return out[9000:18000] + out[:9000] + out[18000:]
    out = bytearray()
    line = 0
    while len(out) < size:
        text = b"%d: value %d of line %d\n" % (line, (line * line * 7919) % 10007, line // 3)
        if line % 40 == 13 and n in (2, 3) and line // 40 % 16 in _EDITS[n]:
            text += b"version %d\n" % n * (3 if line < 4000 else 1)
        out += text
        line += 1
    del_to = size + 37 * (n - 1)
    while len(out) < del_to:
        out += b"end %d\n" % n
    return bytes(out[:del_to])


def vector(name):
    """Bytes of tests/vectors/update/NAME."""
    here = __file__.rpartition("/")[0] or "."
    with open(here + "/../../vectors/update/" + name, "rb") as f:
        return f.read()
