"""What the key-value store costs: bytes, programs and erases per set, reads, RAM.

    python bench/kv.py                 # or: micropython bench/kv.py

Workload A: 20 fixed keys (16-byte key, 32-byte value) and one hot 4-byte counter, 4 sectors.
Workload B: 20 keys (10-byte key, 32-byte value), all set alike, 4 sectors. C: 100 keys
(12-byte key, 100-byte value), all set alike, 8 sectors. Sectors are 4096 bytes, 1000 sets
after each key was set once.
"""

import sys

_HERE = __file__.rpartition("/")[0] or "."
sys.path[:0] = [_HERE + "/../lib", _HERE + "/../tests"]

from nor import Nor  # noqa: E402
from ota.flash import Region  # noqa: E402
from ota.kv import KV  # noqa: E402

_SETS = 1000
# name: sectors, keys, digits of the key's number, key, value bytes, hot counter
_WORK = {
    "A": (4, 20, "fixed-key-%06d", 32, True),
    "B": (4, 20, "key-%06d", 32, False),
    "C": (8, 100, "key-%08d", 100, False),
}


def measure(name, unit):
    """(bytes, programs, erases per 1000, reads, bytes read per set, reads per get, spread)."""
    sectors, keys, form, size, hot = _WORK[name]
    nor = Nor(sectors * 4096, 4096, unit)
    kv = KV(Region(nor, 0, nor.size))
    kv.mount()
    for i in range(keys):
        kv.set(form % i, bytes([i]) * size)
    x = 1
    start = (nor.programmed_bytes, nor.programs, nor.erases, nor.reads, nor.read_bytes)
    for i in range(_SETS):
        if hot:
            kv.set("hot-counter-0000", i.to_bytes(4, "little"))
            continue
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
        kv.set(form % ((x >> 8) % keys), bytes([(x >> j % 24) + i & 0xFF for j in range(size)]))
    end = (nor.programmed_bytes, nor.programs, nor.erases, nor.reads, nor.read_bytes)
    cost = [(b - a) / _SETS for a, b in zip(start, end)]  # noqa: B905
    reads = nor.reads
    kv.get(form % 3)
    gets = nor.reads - reads
    reads, read = nor.reads, nor.read_bytes
    other = KV(Region(nor, 0, nor.size))
    other.mount()
    mount = (nor.reads - reads, (nor.read_bytes - read) / nor.size)
    return cost, gets, mount, max(nor.wear) - min(nor.wear)


def main():
    """Print one row per workload and program size."""
    print(
        "work unit | bytes/set programs/set erases/1000 | reads/set bytes/set reads/get |"
        " mount reads, x size | wear spread"
    )
    for name in sorted(_WORK):
        for unit in (1, 8, 32):
            cost, gets, mount, spread = measure(name, unit)
            print(
                "%s %7d | %9.1f %12.3f %11.0f | %9.1f %9.0f %9d | %11d %7.2f | %d"
                % (
                    name,
                    unit,
                    cost[0],
                    cost[1],
                    cost[2] * 1000,
                    cost[3],
                    cost[4],
                    gets,
                    mount[0],
                    mount[1],
                    spread,
                )
            )


main()
