"""What it costs to overwrite the old image, on the pairs of bench/delta.py.

    python bench/inplace.py [--cache FOLDER] [--family NAME] [--block BYTES] [--quick]

Of each pair: the payload for an image with a place of its own, and in place with 0, 16 and 64 KB
of spare flash: how much larger, bytes and ranges of the stash. Beside it in place, with as much
beside the image: detools (heatshrink, its best window) and HPatchLite (if hdiffi is installed).
Needs what bench/delta.py needs. --quick: without the others.
"""

import argparse
import statistics
import time
from pathlib import Path

import delta_tools as tools
from delta_pairs import pairs
from otatool.patch import find as delta
from otatool.patch import payload, stash

SPARES = (0, 16 << 10, 64 << 10)


def measure(pair, block: int) -> tuple[int, list[tuple[int, payload.PatchWriter]]]:
    """(payload out of place, (payload, patch) in place for each of SPARES)."""
    found = delta.find(pair.old, pair.new, block)
    plain = payload.deflated_size(delta.write(found, pair.old, pair.new, block))
    rows = []
    for spare in SPARES:
        writer = delta.write(found, pair.old, pair.new, block, True, block, spare)
        if payload.decode(writer, pair.old, len(pair.new), block, True) != pair.new:
            raise SystemExit("a patch does not decode")
        rows.append((payload.deflated_size(writer), writer))
    return plain, rows


def main() -> None:
    """Print the tables."""
    p = argparse.ArgumentParser()
    p.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "otatool-bench")
    p.add_argument("--family")
    p.add_argument("--block", type=int, default=4096)
    p.add_argument("--quick", action="store_true")
    args = p.parse_args()
    print(
        f"blocks and sectors of {args.block}. In place with spare KB: payload, how much larger, "
        "stash bytes/ranges; detools and HPatchLite with as much\n"
    )
    families: dict[str, list] = {}
    ratios: dict[str, list[float]] = {"detools": [], "HPatchLite": []}
    for pair in pairs(args.cache):
        if args.family and pair.family != args.family:
            continue
        start = time.monotonic()
        plain, rows = measure(pair, args.block)
        took = time.monotonic() - start
        cells = []
        for spare, (size, writer) in zip(SPARES, rows, strict=True):
            kept = f"{stash.size(writer.stash)}/{len(writer.stash)}" if writer.stash else "-"
            others = []
            if spare and not args.quick:
                others = [
                    tools.detools_in_place(pair.old, pair.new, args.block, spare),
                    tools.hpatchlite_in_place(pair.old, pair.new, spare),
                ]
                for name, theirs in zip(ratios, others, strict=True):
                    if theirs:
                        ratios[name].append(size / theirs)
            cells.append(
                f"{spare >> 10:2}: {size:6} {100 * size / plain - 100:+6.1f} % {kept:>9} "
                + " ".join(f"{n or '-':>6}" for n in others)
            )
        families.setdefault(pair.family, []).append([s / plain - 1 for s, _ in rows])
        erased = len({p.index for p in rows[0][1].plans})
        whole = -(-len(pair.new) // args.block)
        print(
            f"{pair.family:9}{pair.name:22} {plain:6} {erased:3}/{whole:3} {took:5.1f} s | "
            + " | ".join(cells),
            flush=True,
        )
    print("\nmedian of how much larger, by family and spare KB")
    for family, costs in families.items():
        medians = (
            f"{spare >> 10:2}: {100 * statistics.median(c[i] for c in costs):+6.1f} %"
            for i, spare in enumerate(SPARES)
        )
        print(f"{family:9}", " ".join(medians))
    for name, found in ratios.items():
        if found:
            print(f"ours / {name} in place, median: {statistics.median(found):.3f}")


if __name__ == "__main__":
    main()
