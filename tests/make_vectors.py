"""Make tests/vectors/update: run `python tests/make_vectors.py` after a format change."""

from pathlib import Path

from images import KEY, PRODUCT, image
from otatool import build
from otatool.keys import SigningKey

OUT = Path(__file__).parent / "vectors" / "update"
SIZES = {"24k": 24 * 1024, "130k": 130 * 1024}


def main() -> None:
    """Write every package."""
    OUT.mkdir(parents=True, exist_ok=True)
    key = SigningKey(bytes.fromhex(KEY["secret"]))

    def meta(n):
        return build.Meta(PRODUCT, f"0.{n}")

    for name, size in SIZES.items():
        for block in (2048, 4096):
            one, two = image(1, size), image(2, size)
            made = {
                "full": build.full(two, meta(2), [key], block=block, restart=8192),
                "delta": build.patch(one, two, meta(2), [key], block=block, restart=8192),
                "place": build.patch(
                    one, two, meta(2), [key], block=block, in_place=True, reverse=meta(1)
                ),
            }
            for kind, built in made.items():
                (OUT / f"{kind}-{name}-{block}.ota").write_bytes(built.data)
                print(kind, name, block, len(built.data), len(built.chunks))


if __name__ == "__main__":
    main()
