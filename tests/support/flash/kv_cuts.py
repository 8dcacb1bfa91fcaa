"""Cut the power of a key-value store everywhere, boot again, and look at what is left.

A case is [step, cut, effect] and, for a cut in the recovery, [..., second cut, effect]. It is
printed when it fails.
"""

from nor import Nor, PowerCut
from ota.flash import Region
from ota.kv.full import KV

# Of each part of a store, what a mount finds out.
_STATE = (
    ("log", ("seq",)),
    ("ring", ("wear", "state", "newest", "end", "next_seq")),
    ("index", ("hashes", "at", "count", "used")),
)


def model_of(before, step):
    """The contents after step, a list of (key, value or None)."""
    after = dict(before)
    for key, value in step:
        if value is None:
            after.pop(key, None)
        else:
            after[key] = value
    return after


def random_steps(count, seed, keys=6, longest=24, batches=True):
    """A scenario: sets, deletes and batches over a few keys."""
    steps = []
    x = seed
    for i in range(count):
        step = []
        for _ in range(3 if batches and i % 7 == 5 else 1):
            x = (x * 1103515245 + 12345) & 0x7FFFFFFF
            n = x >> 20 & 31
            value = None
            if x >> 12 & 7:
                value = bytes([(x >> 8) + j * 37 + i & 0xFF for j in range(min(n, longest))])
            key = ("ota.%d" if x >> 16 & 1 else "key%d") % ((x >> 17) % keys)
            step.append((key, value))
        steps.append(step)
    return steps


def do(kv, step):
    """One step of a scenario: a set, a delete or a batch."""
    if len(step) > 1:
        kv.batch(step)
    elif step[0][1] is None:
        kv.delete(step[0][0])
    else:
        kv.set(step[0][0], step[0][1])


class Explorer:
    """Runs steps on a store; before each, cut() and double() try every cut in it."""

    def __init__(self, steps, sectors=3, sector_size=1024, unit=8, seed=1, settled=False):
        self.nor = Nor(sectors * sector_size, sector_size, unit, seed, settled)
        self.region = Region(self.nor, 0, self.nor.size)
        self.steps = steps
        self.kv = KV(self.region)
        self.kv.mount()
        self.model = {}
        self.cases = self.longest = 0

    def run(self, effects, first=0, last=1 << 30, second=(), stride=1):
        """Try every cut in steps first..last with effects; second: effects of a second cut
        in the recovery, at each stride-th of its operations."""
        for i, step in enumerate(self.steps):
            base = self.nor.snapshot()
            kept = self.keep()
            do(self.kv, step)
            ops = self.nor.ops - base[5][0]
            after = self.nor.snapshot()
            done = self.keep()
            if first <= i < last:
                for n in range(1, ops + 1):
                    for effect in effects:
                        self._case(base, kept, i, n, effect, second, stride)
            self.nor.restore(after)
            self.give(self.kv, done)
            self.model = model_of(self.model, step)

    def _case(self, base, kept, i, n, effect, second, stride):
        step = self.steps[i]
        old = self.model
        new = model_of(old, step)
        self.nor.restore(base)
        kv = KV(self.region)
        self.give(kv, kept)
        self.nor.cut_at(n, effect)
        case = [i, n, effect]
        try:
            try:
                do(kv, step)
                raise AssertionError("no cut")
            except PowerCut:
                pass
            cut = self.nor.snapshot() if second else None
            ops = self._check(old, new, i)
            m = 1
            while second and m <= ops:
                for again in second:
                    case[3:] = [m, again]
                    self.nor.restore(cut)
                    self.nor.power_on()
                    self.nor.cut_at(m, again)
                    try:
                        KV(self.region).mount()
                    except PowerCut:
                        self._check(old, new, i)
                m += stride
        except BaseException:
            print("case", case, "unit", self.nor.program_size, "sectors", self.kv.log.sectors)
            raise

    def _check(self, old, new, i):
        """Boot; what is found is old or new, stays, and goes on working."""
        nor = self.nor
        self.cases += 1
        nor.power_on()
        ops = nor.ops
        kv = KV(self.region)
        kv.mount()
        used = nor.ops - ops
        self.longest = max(self.longest, used)
        found = dict(kv.items())
        if found != old and found != new:
            raise AssertionError("found %r, old %r, new %r" % (found, old, new))
        for boot in range(2):
            nor.power_on()
            ops = nor.ops
            calm = not nor.weak
            kv = KV(self.region)
            kv.mount()
            if dict(kv.items()) != found:
                raise AssertionError("boot %d: %r, before %r" % (boot, dict(kv.items()), found))
            if nor.ops != ops and calm:
                raise AssertionError("boot %d of a settled store wrote" % boot)
        for k in range(4):
            step = self.steps[(i + 1 + k) % len(self.steps)]
            do(kv, step)
            found = model_of(found, step)
        nor.power_on()
        kv = KV(self.region)
        kv.mount()
        if dict(kv.items()) != found:
            raise AssertionError("later: %r, expected %r" % (dict(kv.items()), found))
        return used

    # A store's memory is kept and given back, so that no case begins with a mount.

    def keep(self):
        kept = []
        for part, names in _STATE:
            for name in names:
                value = getattr(getattr(self.kv, part), name)
                kept.append(value if isinstance(value, int) else value[:])
        return kept

    def give(self, kv, kept):
        i = 0
        for part, names in _STATE:
            for name in names:
                value = kept[i]
                i += 1
                setattr(getattr(kv, part), name, value if isinstance(value, int) else value[:])
        kv._ready = True
