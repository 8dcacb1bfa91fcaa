"""Cut the power at every program and erase of a whole update, recover, look.

Every case:  python tests/cuts.py [--every N] [--strategy NAME]   (micropython works too)
On 2 cores:  python tests/cuts.py --shard 0/2 & python tests/cuts.py --shard 1/2
Twice:       python tests/cuts.py --again 3    (and at the third operation of the recovery)
One case:    python tests/cuts.py --replay ab-delta-24k-4096-8-middle-17[-3]
CI runs a sample of the same through tests/shared/test_update_cut.py.

After each cut: one boot settles (a second one programs and erases nothing), the running image
is the old or the new one byte for byte, and the update can be finished and confirmed.
"""

import sys

if __name__ == "__main__":
    here = __file__.rpartition("/")[0] or "."
    sys.path[:0] = [here + "/../lib", here + "/shared", here]

from images import image, vector
from nor import CUTS, PowerCut
from ota import state, trial
from rig import KB, Rig

SIZES = {"24k": 24 * KB, "130k": 130 * KB}
KINDS = (("ab", "full"), ("ab", "delta"), ("pingpong", "full"), ("pingpong", "delta"),
         ("inplace", "place"), ("inplace", "full"))  # fmt: skip
GEOMETRIES = ((4096, 1), (4096, 8), (4096, 256), (2048, 1), (2048, 8), (2048, 256))


class Failed(Exception):
    """A case did not end well; args: replay code, what."""


class Case:
    """One kind of update on one geometry; run(n, effect) cuts it at operation n."""

    def __init__(self, strategy, kind, name, sector, program):
        self.name = "%s-%s-%s-%d-%d" % (strategy, kind, name, sector, program)
        size = SIZES[name]
        self.old, self.new = image(1, size), image(2, size)
        self.package = vector("%s-%s-%d.ota" % (kind, name, sector))
        self.rig = Rig(strategy, size, sector, program)
        self.rig.boot()
        self.start = self.rig.nor.snapshot()
        before = self.rig.nor.ops
        self._update()
        self.total = self.rig.nor.ops - before
        self._expect(self.rig.runs(self.new), "clean run")

    def _update(self):
        rig = self.rig
        rig.install(self.package)
        rig.boot()
        trial.confirm()

    def _expect(self, good, what, code=""):
        if not good:
            raise Failed(code or self.name, what)

    def run(self, n, effect, again=0):
        """Cut at operation n (1..total) with effect; raises Failed.

        again: cut once more, at that operation of the boot that recovers, if it has as many.
        """
        rig, nor = self.rig, self.rig.nor
        code = "%s-%s-%d" % (self.name, effect, n) + ("-%d" % again if again else "")
        nor.restore(self.start)
        rig.boot()
        nor.cut_at(n, effect)
        try:
            self._update()
            self._expect(False, "no cut", code)
        except PowerCut:
            pass
        if again:
            nor.power_on()
            nor.cut_at(again, effect)
            try:
                rig.boot()
            except PowerCut:
                pass
        self.recovered(code)

    def recovered(self, code):
        """After a cut: boot, look, finish, look."""
        rig, nor = self.rig, self.rig.nor
        nor.power_on()
        record = rig.boot()
        self._expect(record.state != state.RESCUE, "rescue", code)
        self._expect(record.state not in (state.APPLY, state.BACK), "not settled", code)
        old = rig.runs(self.old)
        self._expect(old or rig.runs(self.new), "neither old nor new", code)
        ops = nor.ops
        record = rig.boot()
        self._expect(nor.ops == ops, "second boot writes", code)
        if record.state == state.TRIAL:
            trial.confirm()
        if old:
            self._update()
        record = rig.boot()
        self._expect(record.state == state.IDLE, "not idle", code)
        self._expect(rig.runs(self.new), "not finished", code)
        self._expect(record.image.version == "0.2", "version", code)


def sample(case, every=1, again=0):
    """Run the cuts of a case, every n-th operation, all effects in turn; returns how many."""
    count = 0
    for n in range(1, case.total + 1):
        for i, effect in enumerate(CUTS):
            if every == 1 or (n + i) % every == 0:
                case.run(n, effect, again)
                count += 1
    return count


def main(args):
    """Run what the arguments ask for; returns the exit status."""
    if "--replay" in args:
        parts = args[args.index("--replay") + 1].split("-")
        strategy, kind, name, sector, program, effect, n = parts[:7]
        case = Case(strategy, kind, name, int(sector), int(program))
        case.run(int(n), effect, int((parts[7:] or ["0"])[0]))
        print("ok")
        return 0
    again = int(_option(args, "--again", "0"))
    every = int(_option(args, "--every", "1"))
    shard, shards = [int(n) for n in _option(args, "--shard", "0/1").split("/")]
    total = failed = 0
    for i, (strategy, kind, name, sector, program) in enumerate(cases()):
        if i % shards != shard or _option(args, "--strategy", strategy) != strategy:
            continue
        try:
            case = Case(strategy, kind, name, sector, program)
            count = sample(case, every, again)
        except Failed as e:
            print("FAILED", *e.args)
            failed += 1
            continue
        total += count
        print("%s: %d operations, %d cuts" % (case.name, case.total, count))
    print("%d passed, %d failed" % (total, failed))
    return 1 if failed or not total else 0


def cases():
    """(strategy, kind, size, sector size, program size) of every case."""
    for strategy, kind in KINDS:
        for name in sorted(SIZES):
            for sector, program in GEOMETRIES:
                yield strategy, kind, name, sector, program


def _option(args, name, default):
    return args[args.index(name) + 1] if name in args else default


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
