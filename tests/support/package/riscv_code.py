"""Instructions of RISC-V (32 bits), put together for tests after the specification's figures."""

LUI, AUIPC = 0x37, 0x17
ADDI, LOAD, STORE, CALL = 0x13, 0x2003, 0x2023, 0x67  # opcodes with funct3; CALL is JALR


def word(value):
    """32 bits, little-endian."""
    return bytes((value & 255, value >> 8 & 255, value >> 16 & 255, value >> 24 & 255))


def jal(distance, register=1):
    """A jump that leaves its return address in a register."""
    d = distance
    return word(
        (d >> 20 & 1) << 31 | (d >> 1 & 0x3FF) << 21 | (d >> 11 & 1) << 20
        | (d >> 12 & 0xFF) << 12 | register << 7 | 0x6F
    )  # fmt: skip


def upper(op, register, value):
    """The first instruction of a pair that makes value."""
    return word((value + 0x800) & 0xFFFFF000 | register << 7 | op)


def low(op, register, value, other=1):
    """The second one, upon the register of the first; other: what it reads or sets."""
    n = value & 0xFFF
    if op == STORE:
        return word(n >> 5 << 25 | other << 20 | register << 15 | (n & 31) << 7 | op)
    return word(n << 20 | register << 15 | other << 7 | op)
