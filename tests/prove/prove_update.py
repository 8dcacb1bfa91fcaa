"""Power cuts in whole updates, ways back and factory restores, for every strategy.

What must hold after each (docs/reliability.md): one boot settles, and the next programs and
erases nothing; what runs is the old or the new image, byte for byte; the floor has not
sunk; the recovery took no more operations than the run that was cut, and a few; what began
can be finished; what was confirmed stays.
"""

import gc

from explore import Failed, Run, cut, explore, repeat, seed_of
from faults import Random
from images import image, vector
from nor import Nor, PowerCut
from ota import device, state
from ota.boot import factory, trial
from ota.state import record as slots
from prove_budget import Budget
from rig import KB, Rig

SIZES = {"24k": 24 * KB, "130k": 130 * KB}
KINDS = (
    ("ab", "full"), ("ab", "delta"), ("pingpong", "full"), ("pingpong", "delta"),
    ("inplace", "place"), ("inplace", "stash"), ("inplace", "full"),
    ("ab", "factory"), ("pingpong", "factory"), ("inplace", "factory"),
)  # fmt: skip
GEOMETRIES = ((4096, 1), (4096, 8), (4096, 256), (2048, 1), (2048, 8), (2048, 256))
_SLACK = 16  # operations a recovery may need beyond those of a whole run
_RESERVE = 8  # boots that may be needed where bits read differently each time


def name_of(strategy, kind, name, sector, program, what, options):
    """The name of an update, with which its replay codes begin. what: "", "b" or "t"."""
    flags = "".join(sorted([k[0] for k in options if options[k]]))
    return "%s-%s-%s-%d-%d%s%s" % (strategy, kind, name, sector, program, flags, what)


def _same_secrets():
    """From here on secrets are drawn as in every other run: so a code replays to the bit."""
    dice = Random(7)
    slots.random_bytes = lambda n: dice.bits(n).to_bytes(n, "big")


class Update:
    """One update of one kind on one geometry; or, with back, giving it up again. Kind
    "factory": a restore, and 0.2 is the image it leads to.

    strategy, kind: of KINDS. name: of SIZES. options: of nor.Nor.
    """

    whole = 1  # how often a clean run writes the image

    def __init__(self, strategy, kind, name, sector, program, back=False, **options):
        what = "b" if back else ""
        self.name = name_of(strategy, kind, name, sector, program, what, options)
        size = SIZES[name]
        device.current = None
        _same_secrets()
        gc.collect()
        self.back = back
        self.old, self.new = image(1, size), image(4 if kind == "stash" else 2, size)
        self.factory = kind == "factory"
        kind = "full" if self.factory else kind
        self.package = vector("%s-%s-%d.ota" % (kind, name, sector))
        self.rig = Rig(
            strategy, size, sector, program, factory=self.package if self.factory else b""
        )
        if options:
            self._exchange(Nor(self.rig.nor.size, sector, program, **options))
        self.nor = self.rig.nor
        self.rig.boot()
        if back:
            self.rig.install(self.package)
            self.rig.boot()
        worn = list(self.nor.wear)
        self.run = Run(self.nor, self.actions())
        self.cut_at = 0  # number of the operation that was cut
        self.seen = self.rig.device.slots.load().seen
        if not self.rig.runs(self.old if back else self.new):
            raise Failed(self.name, "clean run")
        self._budget = Budget(self, worn)

    def actions(self):
        """What is run and cut, step by step."""
        return [self._give_up] if self.back else [self._update]

    def _exchange(self, nor):
        # The same board with a chip of other manners.
        self.rig.nor = nor
        self.rig.config["flash"]["nor"]["driver"] = nor
        self.rig.write("active", self.old)
        if self.factory:
            self.rig.write("factory", self.package)

    def _update(self):
        if self.factory:
            factory.request(self.rig.device)
            self.rig.boot()
            return
        self.rig.install(self.package)
        self.rig.boot()
        trial.confirm()

    def _give_up(self):
        trial.rollback(False)
        self.rig.boot()

    def explore(self, effects, wanted=None, seed=1):
        """Every single cut; returns how many."""

        def visit(n, effect):
            self.cut_at = n
            self.checked("%s-%d-%d-%s" % (self.name, seed, n, effect), effect)

        return explore(self.nor, self.run, effects, visit, seed, wanted)

    def twice(self, effects, again, wanted, stride=1, seed=1):
        """Each wanted cut, then each stride-th operation of its recovery; returns how many."""
        count = [0]
        nor = self.nor

        def visit(n, effect):
            self.cut_at = n
            _same_secrets()
            recovery = Run(nor, [self.rig.boot])
            nor.restore(recovery.start)
            for m, op in enumerate(recovery.log):
                base = nor.snapshot()
                if m % stride == n % stride:
                    for second in again:
                        cut(nor, op, second, seed_of(seed + 1, m, second))
                        code = "%s-%d-%d-%s-%d-%s" % (self.name, seed, n, effect, m, second)
                        self.checked(code, effect, second)
                        count[0] += 1
                        nor.restore(base)
                repeat(nor, op)

        explore(nor, self.run, effects, visit, seed, wanted)
        return count[0]

    def replay(self, seed, n, effect, m=None, second=None):
        """One case of explore() or twice()."""
        nor = self.nor
        self.cut_at = n
        nor.restore(self.run.start)
        for op in self.run.log[:n]:
            repeat(nor, op)
        cut(nor, self.run.log[n], effect, seed_of(seed, n, effect))
        if m is not None:
            _same_secrets()
            recovery = Run(nor, [self.rig.boot])
            nor.restore(recovery.start)
            for op in recovery.log[:m]:
                repeat(nor, op)
            cut(nor, recovery.log[m], second, seed_of(seed + 1, m, second))
        self.checked(self.name, effect, second)

    def checked(self, code, effect, second=None):
        """check(), and whatever it raises becomes Failed with the code."""
        _same_secrets()
        try:
            if "collateral" in (effect, second):
                self.check_damaged()
            else:
                self.check(2 if second else 1)
        except Failed as e:
            raise Failed(code, *e.args) from e
        except PowerCut:
            raise
        except BaseException as e:
            raise Failed(code, repr(e)) from e

    def check(self, cuts):
        """Boot after cuts, look, finish, look."""
        rig, nor = self.rig, self.nor
        ops = nor.ops
        record = self._settled()
        used = nor.ops - ops
        if used > len(self.run.log) + _SLACK:
            raise Failed("operations of the recovery", used)
        self._budget.check(cuts)
        first = rig.runs(self.old)
        if not first and not rig.runs(self.new):
            raise Failed("neither old nor new")
        floor = record.floor
        if record.state == state.TRIAL and not self.back:
            trial.confirm()
        if self.back:
            if not first:
                self._give_up()
            wanted = self.old
        else:
            if first:
                self._update()
            wanted = self.new
        record = self._settled()
        if record.state != state.IDLE or not rig.runs(wanted) or record.floor < floor:
            raise Failed("not finished", state.name(record.state), record.reason)
        if self._settled().state != state.IDLE or not rig.runs(wanted):
            raise Failed("what was settled changed")

    def check_damaged(self):
        """Committed bits may have flipped too: never another image, whatever else is lost."""
        self.rig.boot()
        record = self.rig.boot()
        if record.state == state.RESCUE:
            return
        if not self.rig.runs(self.old) and not self.rig.runs(self.new):
            raise Failed("neither old nor new")

    def _settled(self):
        """Boot until nothing is written any more: once, but where bits are weak."""
        nor = self.nor
        for boot in range(_RESERVE):
            nor.power_on()
            record = self.rig.boot()
            if record.state in (state.RESCUE, state.APPLY, state.BACK):
                raise Failed("state", state.name(record.state), record.reason)
            calm = not nor.weak
            ops = nor.ops
            nor.power_on()
            again = self.rig.boot()
            if nor.ops == ops:
                return again
            if calm:
                raise Failed("second boot writes", boot)
        raise Failed("never settles")
