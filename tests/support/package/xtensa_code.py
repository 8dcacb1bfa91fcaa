"""Instructions of Xtensa, put together for tests after the reference manual's figures."""

ADDI = b"\x12\xc1\xf0"  # addi a1, a1, -16: a function of the ESP8266 begins so
MOV = b"\x2d\x0c"  # mov.n, two bytes
RET = b"\x0d\xf0"


def word(value):
    """32 bits, little-endian."""
    return bytes((value & 255, value >> 8 & 255, value >> 16 & 255, value >> 24 & 255))


def call(at, target, kind=0):
    """CALL0, 4, 8 or 12 (kind 0 to 3) at an address to another, a multiple of 4."""
    d = (target - (at & ~3) - 4) >> 2 & 0x3FFFF
    return word(d << 6 | kind << 4 | 5)[:3]


def load(at, target, register=2):
    """L32R at an address of the word at another, before it."""
    d = (target - (at + 3 & ~3)) >> 2 & 0xFFFF
    return word(d << 8 | register << 4 | 1)[:3]
