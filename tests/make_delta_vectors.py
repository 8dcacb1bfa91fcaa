"""Make tests/vectors/delta/*.json with the encoder: python tests/make_delta_vectors.py

Each file: old and new image, parameters, and the payload as chunks: [restart, first block,
blocks, inflated length, stored bytes], deflated as docs/format.md section 4 says.
"""

import json
import zlib
from pathlib import Path

from delta_stream import Noise
from otatool import delta

OUT = Path(__file__).parent / "vectors" / "delta"
BLOCK = 256
WBITS = 10


def images():
    """An old and a new image with moves, edits, regular corrections and growth."""
    noise = Noise(7)
    old = noise.bytes(1500)
    new = bytearray(old)
    for at in range(300, 620, 16):
        new[at] = (new[at] + 4) & 255
    new[700:706] = b"edited"
    new[1100:1100] = noise.bytes(90)
    new[20:120], new[900:1000] = new[900:1000], new[20:120]
    return old, bytes(new)


def chunks(writer):
    """The payload; a restart every third block, two chunks between."""
    z = zlib.compressobj(9, zlib.DEFLATED, -WBITS, 9)
    out = []
    for i in range(writer.count):
        if i % 3 == 0:
            writer.restart()
        if i % 3 < 2:
            first, inflated, stored = i, 0, b""
        data = writer.block(i)
        inflated += len(data)
        stored += z.compress(data)
        if i == writer.count - 1:
            stored += z.flush()
        elif i % 3 == 2:
            stored += z.flush(zlib.Z_FULL_FLUSH)
        elif i % 3 == 0:
            stored += z.flush(zlib.Z_SYNC_FLUSH)
        else:
            continue
        out.append([first % 3 == 0, first, i + 1 - first, inflated, stored.hex()])
    return out


def main():
    """Write both files."""
    OUT.mkdir(exist_ok=True)
    old, new = images()
    for name, ordered in (("patch", False), ("in_place", True)):
        plans = delta.plan(old, new, BLOCK, ordered)
        writer = delta.PatchWriter(plans, old, new, BLOCK, ordered)
        vector = {
            "old": old.hex(),
            "new": new.hex(),
            "block": BLOCK,
            "wbits": WBITS,
            "ordered": ordered,
            "meta_max": writer.meta_max,
            "count": writer.count,
            "chunks": chunks(writer),
        }
        (OUT / (name + ".json")).write_text(json.dumps(vector, indent=1) + "\n")


if __name__ == "__main__":
    main()
