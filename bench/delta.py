"""Sizes of patches, ours beside other tools, on real pairs of images.

    python bench/delta.py [--cache FOLDER] [--own FOLDER] [--family NAME] [--quick]

Needs the packages of the group "bench" (pip install -e ".[bench]"), npm for the webassembly
builds, and PyPI; what is fetched stays in the cache. Ours is the payload, one raw-deflate stream
at a window of 4 KB, decoded by the device's code before it counts. --own: pairs of your own,
NAME.old and NAME.new. --quick: without detools, which takes minutes.
"""

import argparse
import math
import time
from pathlib import Path

import delta_tools as tools
from delta_pairs import local, pairs
from otatool.patch import find as delta
from otatool.patch import payload

_FAMILIES = {
    "Thumb": ("microbit", "thumb"), "micro:bit alone": ("microbit",), "Xtensa": ("xtensa",),
    "wasm": ("wasm",), ".mpy ROMFS": ("mpy",), "source ROMFS": ("src",), "own": ("own",),
}  # fmt: skip


def ours(old: bytes, new: bytes) -> tuple[int, int, float]:
    """(payload bytes, the same without a pointer filter, seconds)."""
    start = time.monotonic()
    writer = delta.best(old, new)
    took = time.monotonic() - start
    if payload.decode(writer, old, len(new), 4096) != new:
        raise SystemExit("a patch does not decode")
    size = payload.deflated_size(writer)
    if writer.filter is None:
        return size, size, took
    plain = payload.PatchWriter(delta.plan(old, new), old, new, 4096, False)
    return size, payload.deflated_size(plain), took


def main() -> None:
    """Print the tables."""
    p = argparse.ArgumentParser()
    p.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "otatool-bench")
    p.add_argument("--own", type=Path)
    p.add_argument("--family")
    p.add_argument("--quick", action="store_true")
    args = p.parse_args()
    columns = {
        "bsdiff4": tools.bsdiff, "HPatchLite": tools.hpatchlite, "zstd": tools.zstd,
        "xdelta3": tools.xdelta,
    }  # fmt: skip
    if not args.quick:
        for name in ("crle", "heatshrink", "lzma"):
            columns[name] = tools.detools_best(name, True)
    found = local(args.own) if args.own else pairs(args.cache)
    names = " ".join(f"{name:>10}" for name in columns)
    print(f"{'pair':24} {'new':>7} {'ours':>7} {'no filter':>9} {'s':>5} {names}")
    rows = []
    for pair in found:
        if args.family and pair.family != args.family:
            continue
        size, plain, took = ours(pair.old, pair.new)
        others = {name: measure(pair.old, pair.new) for name, measure in columns.items()}
        rows.append((pair.family, size, others))
        cells = " ".join(f"{n or '-':>10}" for n in others.values())
        print(
            f"{pair.name:24} {len(pair.new):7} {size:7} {plain:9} {took:5.1f} {cells}", flush=True
        )
    print()
    print(f"{'ours as a multiple of':24} {names}   (geometric means)")
    for title, families in _FAMILIES.items():
        chosen = [(size, others) for family, size, others in rows if family in families]
        if chosen:
            print(f"{title:24} " + " ".join(_mean(chosen, name) for name in columns))


def _mean(rows, name):
    logs = [math.log(size / others[name]) for size, others in rows if others[name]]
    return f"{math.exp(sum(logs) / len(logs)):10.3f}" if logs else f"{'-':>10}"


if __name__ == "__main__":
    main()
