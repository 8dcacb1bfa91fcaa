"""Packages that must open for ever, tests/vectors/golden: python tests/tools/make_golden.py

What lies there is never made anew. A name that is missing is made and joins list.json, with the
SHA-256 of the package, of the image it starts from and of the one it leads to.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import folders

folders.add()

import code_images
from delta_stream import Noise
from images import KEY, PRODUCT, image
from otatool.patch.pointers.riscv import RiscV
from otatool.patch.pointers.thumb import Thumb
from otatool.patch.pointers.xtensa import Xtensa
from otatool.release import package as build
from otatool.release.keys import SigningKey

OUT = Path(__file__).parents[1] / "vectors" / "golden"
LIST = OUT / "list.json"
SIZE = 9000
# name: images that look like it, kind of pointers, address
CODE = {
    "thumb": (code_images.thumb, Thumb, 0x08020000),
    "riscv": (code_images.riscv, RiscV, 0x42000000),
    "xtensa": (code_images.xtensa, Xtensa, 0x40200000),
}
# name: arguments of build.patch(); "turned" images exchange parts, so that a stash pays
WAYS = {
    "slot-4096-w10": {"wbits": (10,)},
    "slot-256-w9": {"block": 256, "wbits": (9,), "restart": 600},
    "slot-1024-w15": {"block": 1024, "wbits": (15,)},
    "place-1024-w12": {"block": 1024, "wbits": (12,), "in_place": True},
    "place-512-w10": {"block": 512, "wbits": (10,), "in_place": True, "spare": 8192},
    "place-2048-w9": {"block": 2048, "wbits": (9,), "in_place": True, "restart": 600},
}


def images(name: str) -> tuple[bytes, bytes]:
    """Old and new image of that name: moves, edits, corrections at regular places, growth."""
    if name == "text":
        old, new = image(1, SIZE), image(2, SIZE)
        new = new[:4100] + b"a few words more; " + new[4100:]
    else:
        make, kind, base = CODE[name]
        old = new = make(17, SIZE, base)
        for at, grown in ((7000, 12), (4400, 260), (2500, 20), (900, 4)):
            new = code_images.moved(kind, new, base, at, grown)
    changed = bytearray(new)
    for at in range(3000, 3900, 36):
        changed[at] = changed[at] + 4 & 255
    changed[5000:5006] = b"edited"
    return old, bytes(changed) + Noise(3).bytes(1300)


def turned(data: bytes) -> bytes:
    """The image with parts of its halves exchanged, too far from each other to be kept as one:
    each wants what the other overwrites."""
    turned = bytearray(data)
    for at in range(0, 3600, 600):
        turned[at : at + 300] = data[at + 4000 : at + 4300]
        turned[at + 4000 : at + 4300] = data[at : at + 300]
    return bytes(turned)


def packages():
    """(name, base, image, package) of all; made when they are taken."""
    key = SigningKey(bytes.fromhex(KEY["secret"]))
    there, back = build.Meta(PRODUCT, "0.2"), build.Meta(PRODUCT, "0.1")
    for name in ("text", *CODE):
        old, new = images(name)
        for way, options in WAYS.items():
            to = turned(new) if "spare" in options else new
            if "restart" in options:  # several chunks, of some 4 KB each
                to += Noise(4).bytes(9500)
            reverse = back if "in_place" in options else None

            def patch(to=to, old=old, reverse=reverse, options=options):
                return build.patch(old, to, there, [key], reverse=reverse, **options).data

            yield f"{name}-{way}", old, to, patch
    for block, wbits in ((256, 9), (4096, 12)):

        def full(block=block, wbits=wbits):
            return build.full(image(2, SIZE), there, [key], block, wbits=(wbits,)).data

        yield f"full-{block}-w{wbits}", None, image(2, SIZE), full


def main() -> None:
    """Make what is missing."""
    OUT.mkdir(exist_ok=True)
    rows = json.loads(LIST.read_text()) if LIST.exists() else []
    names = {row["name"] for row in rows}
    for name, old, new, make in packages():
        if name in names:
            continue
        data = make()
        row = {"name": name, "sha256": _digest(data), "image": _digest(new)}
        if old is not None:
            row["old"] = name.partition("-")[0] + ".old"
            row["base"] = _digest(old)
            (OUT / row["old"]).write_bytes(old)
        (OUT / (name + ".ota")).write_bytes(data)
        rows.append(row)
        print(name, len(data))
    LIST.write_text(json.dumps(rows, indent=0) + "\n")


def _digest(data):
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main()
