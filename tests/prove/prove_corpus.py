"""Power cuts in updates in place of real images: every pair of bench/delta.py.

    python tests/prove/prove_corpus.py --cache FOLDER [--family NAME] [--most CASES] [--jobs N]

As prove.py's part "update", and with what that one asserts (erases within the schedule's
budget included), for patches of real images with their way back, blocks and sectors of 2048 and
of 4096 bytes, programs of 256 bytes, 64 KB of spare flash for the stash. --most: cases of a
pair and a sector size; where there are more operations than that, a sample with all operations
at the start and at the end. Fetches what bench/delta.py fetches; needs the packages of the
group "bench".
"""

import argparse
import multiprocessing
import sys
import time
from pathlib import Path

_TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(_TESTS), str(_TESTS.parent / "bench")]
import folders  # noqa: E402

folders.add()

from explore import Failed, Run  # noqa: E402
from faults import EFFECTS  # noqa: E402
from images import KEY, PRODUCT  # noqa: E402
from ota import device  # noqa: E402
from otatool.patch import jobs as search  # noqa: E402
from otatool.release import package as build  # noqa: E402
from otatool.release.keys import SigningKey  # noqa: E402
from prove_budget import Budget  # noqa: E402
from prove_update import Update  # noqa: E402
from rig import KB, Rig  # noqa: E402

SECTORS = (2048, 4096)
PROGRAM = 256
SPARE = 64 * KB
_EDGE = 40  # operations at the start and at the end that are all cut


class Pair(Update):
    """The update in place from one image to another, with the way back in the package."""

    def __init__(self, name, old, new, package, sector):
        self.name = f"corpus-{name}-{sector}"
        self.old, self.new, self.package = old, new, package
        self.back = self.factory = False
        device.current = None
        size = max(len(old), len(new))
        # Package, stash, scratch and journal in the partition "ota".
        room = len(package) + SPARE + 16 * sector
        self.rig = Rig("inplace", size, sector, PROGRAM, spare=room // sector)
        self.rig.config["image_size"] = len(old)
        self.rig.write("active", old)
        self.nor = self.rig.nor
        self.rig.boot()
        worn = list(self.nor.wear)
        self.run = Run(self.nor, self.actions())
        self.cut_at = 0
        self.seen = self.rig.device.slots.load().seen
        if not self.rig.runs(new):
            raise Failed(self.name, "clean run")
        self._budget = Budget(self, worn)

    def wanted(self, most):
        """Which cases to look at: at most so many, about, all effects in turn."""
        count = len(self.run.log)
        step = max(1, (count - 2 * _EDGE) // max(1, most - 2 * _EDGE))

        def wanted(n, effect):
            edge = n < _EDGE or n >= count - _EDGE
            if not edge and n % step:
                return False
            return EFFECTS[(n if edge else n // step) % len(EFFECTS)] == effect

        return wanted


def prove(name, old, new, sector, most):
    """(operations of the update, cases); raises Failed."""
    key = SigningKey(bytes.fromhex(KEY["secret"]))
    there, back = build.Meta(PRODUCT, "0.2"), build.Meta(PRODUCT, "0.1")
    wanted = build.searches(old, new, sector, True, True, True, SPARE)
    found = search.run(wanted, jobs=1)
    made = build.patch(old, new, there, [key], sector, True, back, found=found)
    pair = Pair(name, old, new, made.data, sector)
    return len(pair.run.log), pair.explore(EFFECTS, pair.wanted(most))


def _work(job):
    name, old, new, sector, most = job
    start = time.monotonic()
    try:
        operations, cases = prove(name, old, new, sector, most)
        return name, sector, operations, cases, time.monotonic() - start, ()
    except Failed as e:
        return name, sector, 0, 0, time.monotonic() - start, e.args


def main() -> int:
    """Run it; the exit status."""
    from delta_pairs import pairs

    p = argparse.ArgumentParser()
    p.add_argument("--cache", type=Path, required=True)
    p.add_argument("--family")
    p.add_argument("--most", type=int, default=150)
    p.add_argument("--jobs", type=int)
    args = p.parse_args()
    jobs = [
        (pair.name, pair.old, pair.new, sector, args.most)
        for pair in pairs(args.cache)
        for sector in SECTORS
        if not args.family or pair.family == args.family
    ]
    total = bad = 0
    with multiprocessing.Pool(args.jobs) as pool:
        for name, sector, operations, cases, took, failed in pool.imap_unordered(_work, jobs):
            total += cases
            bad += bool(failed)
            print(
                f"{name:24} {sector:5} {operations:6} operations {cases:5} cases {took:6.1f} s",
                *failed, flush=True,
            )  # fmt: skip
    print(f"{total} passed, {bad} failed")
    return 1 if bad or not total else 0


if __name__ == "__main__":
    sys.exit(main())
