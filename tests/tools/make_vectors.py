"""Make tests/vectors/update and signed: python tests/tools/make_vectors.py"""

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import folders

folders.add()

from images import KEY, PRODUCT, image
from otatool.release import keys, publish
from otatool.release import package as build
from otatool.release.keys import SigningKey

OUT = Path(__file__).parents[1] / "vectors" / "update"
SIGNED = Path(__file__).parents[1] / "vectors" / "signed"
SIZES = {"24k": 24 * 1024, "130k": 130 * 1024}


def main() -> None:
    """Write every package."""
    OUT.mkdir(parents=True, exist_ok=True)
    key = SigningKey(bytes.fromhex(KEY["secret"]))

    def meta(n):
        return build.Meta(PRODUCT, f"0.{n}")

    for name, size in SIZES.items():
        for block in (2048, 4096):
            one, two, turned = image(1, size), image(2, size), image(4, size)
            made = {
                "full": build.full(two, meta(2), [key], block=block, restart=8192),
                "delta": build.patch(one, two, meta(2), [key], block=block, restart=8192),
                "place": build.patch(
                    one, two, meta(2), [key], block=block, in_place=True, reverse=meta(1)
                ),
                "stash": build.patch(
                    one, turned, meta(2), [key],
                    block=block, in_place=True, reverse=meta(1), spare=32768,
                ),
            }  # fmt: skip
            for kind, built in made.items():
                (OUT / f"{kind}-{name}-{block}.ota").write_bytes(built.data)
                print(kind, name, block, len(built.data), len(built.chunks))
    signed(key)


def signed(hmac: SigningKey) -> None:
    """Write tests/vectors/signed: a small package and its manifest, signed by two keys."""
    SIGNED.mkdir(parents=True, exist_ok=True)
    if not (SIGNED / "rsa.pem").exists():
        keys.write(keys.generate("rsa", 3072), str(SIGNED / "rsa"))
    both = [keys.load(SIGNED / "rsa.pem"), hmac]
    one = image(1, 1000)
    made = build.full(one, build.Meta(PRODUCT, "0.1"), both, block=512)
    (SIGNED / "package.ota").write_bytes(made.data)
    sized = {"size": len(one), "digest": hashlib.sha256(one).hexdigest()}
    package = {"url": "package.ota", "size": len(made.data), "digest": made.digest.hex()}
    releases = [
        {
            "version": "0.1",
            "floor": 0,
            "images": [{"target": "app", **sized, "packages": [package]}],
        }
    ]
    content = {"format": 1, "product": PRODUCT, "channel": "stable", "sequence": 1}
    data = publish.sign_manifest({**content, "releases": releases}, both)
    (SIGNED / "manifest.ota").write_bytes(data)


if __name__ == "__main__":
    main()
