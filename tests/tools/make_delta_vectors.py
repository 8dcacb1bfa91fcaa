"""Make tests/vectors/delta/*.json with the encoder: python tests/tools/make_delta_vectors.py

Each file: old and new image, parameters, and the payload as chunks: [restart, first block,
blocks, inflated length, stored bytes], deflated as docs/format.md section 4 says.
"""

import json
import struct
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import folders

folders.add()

import code_images
import numpy as np
from delta_stream import Noise
from otatool.patch import find as delta
from otatool.patch import payload
from otatool.patch.pointers import Table
from otatool.patch.pointers.thumb import Thumb

OUT = Path(__file__).parents[1] / "vectors" / "delta"
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


def moved_code():
    """Thumb code at 0x08020000, and the same with something put in: every pointer follows."""
    old = code_images.thumb(11, 3000, 0x08020000)
    f = Thumb(0x08020000, len(old))
    f.table = Table(np.array([0x08020000 + 1000]), np.array([20]))
    new = f.predict(old[:1000], 0, 0) + Noise(5).bytes(20) + f.predict(old[1000:], 1000, 1020)
    return old, new, f


def main():
    """Write the files."""
    OUT.mkdir(exist_ok=True)
    for name, ordered, (old, new, filter) in (
        ("patch", False, (*images(), None)),
        ("in_place", True, (*images(), None)),
        ("thumb", False, moved_code()),
        ("thumb_in_place", True, moved_code()),
    ):
        plans = delta.plan(old, new, BLOCK, ordered, None, filter)
        writer = payload.PatchWriter(plans, old, new, BLOCK, ordered, filter)
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
        if filter:
            vector["pointers"] = struct.unpack("<BxHIII", filter.field())
        (OUT / (name + ".json")).write_text(json.dumps(vector, indent=1) + "\n")


if __name__ == "__main__":
    main()
