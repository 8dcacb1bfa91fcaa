"""Power cuts, resets, foreign contents and flipped bits for the key-value store.

What must hold after each (docs/reliability.md): every key has
its last value, the one being written the old or the new one, a batch all or none of it; every
later boot finds the same and a settled store is not written to; and the store goes on working.
"""

from explore import Failed, Run, cut, explore, repeat, seed_of
from faults import EFFECTS
from kv_cuts import do, model_of, random_steps
from nor import Inverted, Nor, PowerCut
from ota.errors import FlashError
from ota.flash import Region
from ota.kv import Store
from ota.kv.full import KV

LONGEST = 40  # operations of a recovery: a compaction, an erase, the markers
_MORE = 4  # steps that a recovered store must still do


class Geometry:
    """A flash and a use of it: sectors, their size, program size; keys, longest value."""

    def __init__(self, sectors, size, unit, keys, longest, steps=40, skip=0, **options):
        self.sectors, self.size, self.unit = sectors, size, unit
        self.keys, self.longest, self.steps, self.skip = keys, longest, steps, skip
        self.options = options
        self.uneven = options.pop("uneven", False)
        flags = "".join(sorted([k[0] for k in options if options[k]]))
        if options.get("erased") == 0:
            flags += "0"
        if self.uneven:
            flags += "u"
        self.name = "%dx%du%d%s" % (sectors, size, unit, flags)

    def nor(self, seed):
        """The flash."""
        if self.uneven:  # smaller ones before, a larger one behind
            lengths = [self.size // 2] * 2 + [self.size] * self.sectors + [self.size * 4]
            return Nor(0, 0, self.unit, seed, uneven=lengths, **self.options)
        return Nor(self.sectors * self.size, self.size, self.unit, seed, **self.options)

    def region(self, nor):
        """Where the store lies on it."""
        driver = nor
        if self.uneven:
            driver = nor.area(2, self.sectors)
        elif self.options.get("erased") == 0:
            driver = Inverted(nor)
        return Region(driver, 0, driver.size)


class Scenario:
    """Steps on a store; where(n) gives what was there before and after operation n."""

    def __init__(self, geometry, seed):
        self.geometry, self.seed = geometry, seed
        self.nor = nor = geometry.nor(seed)
        self.region = geometry.region(nor)
        steps = random_steps(geometry.steps + geometry.skip, seed, geometry.keys, geometry.longest)
        kv = KV(self.region)
        kv.mount()
        self.steps = steps[geometry.skip :]
        self.models = [{}]
        for step in steps[: geometry.skip]:
            do(kv, step)
            self.models[0] = model_of(self.models[0], step)
        for step in self.steps:
            self.models.append(model_of(self.models[-1], step))
        self.history = {}
        for model in self.models:
            for key in model:
                self.history.setdefault(key, set()).add(model[key])
        self.run = Run(nor, [lambda step=step: do(kv, step) for step in self.steps])

    def code(self, *case):
        """The replay code of a case."""
        parts = ["kv", self.geometry.name, self.seed] + list(case)
        return "-".join([str(part) for part in parts])

    def explore(self, effects, wanted=None):
        """Every single cut; returns how many."""

        def visit(n, effect):
            self.checked(n, effect, self.code(n, effect))

        return explore(self.nor, self.run, effects, visit, self.seed, wanted)

    def twice(self, effects, again, wanted, stride=1):
        """Each wanted cut, then each stride-th operation of its recovery; returns how many."""
        count = [0]
        nor = self.nor

        def visit(n, effect):
            recovery = Run(nor, [KV(self.region).mount])
            nor.restore(recovery.start)
            for m, op in enumerate(recovery.log):
                base = nor.snapshot()
                if m % stride == n % stride:
                    for second in again:
                        cut(nor, op, second, seed_of(self.seed + 1, m, second))
                        self.checked(n, effect, self.code(n, effect, m, second), second)
                        count[0] += 1
                        nor.restore(base)
                repeat(nor, op)

        explore(nor, self.run, effects, visit, self.seed, wanted)
        return count[0]

    def replay(self, n, effect, m=None, second=None):
        """One case of explore() or twice()."""
        nor = self.nor
        nor.restore(self.run.start)
        for op in self.run.log[:n]:
            repeat(nor, op)
        cut(nor, self.run.log[n], effect, seed_of(self.seed, n, effect))
        if m is not None:
            recovery = Run(nor, [KV(self.region).mount])
            nor.restore(recovery.start)
            for op in recovery.log[:m]:
                repeat(nor, op)
            cut(nor, recovery.log[m], second, seed_of(self.seed + 1, m, second))
        self.checked(n, effect, self.code(n, effect), second)

    def checked(self, n, effect, code, second=None):
        """check(), and whatever it raises becomes Failed with the code."""
        step = self.run.step[n]
        damage = "collateral" in (effect, second)
        try:
            self.check(self.models[step], self.models[step + 1], step, damage)
        except Failed as e:
            raise Failed(code, *e.args) from e
        except FlashError as e:
            # Up to eight flipped bits may hit a header and its copy: then it says so.
            if not damage or e.reason != "corrupt":
                raise Failed(code, repr(e)) from e
        except PowerCut:
            raise
        except BaseException as e:
            raise Failed(code, repr(e)) from e

    def check(self, old, new, step, damage=False):
        """Boot after a cut, and look. damage: committed bits may have flipped as well."""
        nor = self.nor
        ops = nor.ops
        kv = KV(self.region)
        kv.mount()
        used = nor.ops - ops
        found = dict(kv.items())
        if damage:
            for key in found:
                if found[key] not in self.history.get(key, ()):
                    raise Failed("a value that was never stored", key, found[key])
        elif found != old and found != new:
            raise Failed("found", found, "old", old, "new", new)
        if used > LONGEST:
            raise Failed("operations of the recovery", used)
        for boot in range(3):
            nor.power_on()
            ops = nor.ops
            calm = not nor.weak
            kv = (KV, Store)[boot & 1](self.region)
            kv.mount()
            for key in found:
                if kv.get(key) != found[key]:
                    raise Failed("boot", boot, key, kv.get(key), found[key])
            if len(kv.keys()) != len(found):
                raise Failed("boot", boot, kv.keys(), sorted(found))
            if nor.ops != ops and calm:
                raise Failed("boot of a settled store wrote", boot)
        kv = KV(self.region)
        kv.mount()
        for k in range(_MORE):
            more = self.steps[(step + 1 + k) % len(self.steps)]
            do(kv, more)
            found = model_of(found, more)
        nor.power_on()
        kv = KV(self.region)
        kv.mount()
        if dict(kv.items()) != found:
            raise Failed("later", dict(kv.items()), found)


def resets(geometry, seed, count, effects=EFFECTS[:-1]):
    """A long life: work, a cut anywhere, a boot that may be cut too, again and again."""
    nor = geometry.nor(seed)
    region = geometry.region(nor)
    steps = random_steps(200, seed, geometry.keys, geometry.longest)
    dice = seed
    model = {}
    i = 0
    kv = None
    for reset in range(count):
        dice = (dice * 1103515245 + 12345) & 0x7FFFFFFF
        effect = effects[(dice >> 8) % len(effects)]
        nor.power_on()
        nor.cut_at(1 + (dice >> 16) % 12, effect)
        new = model
        try:
            kv = KV(region)
            kv.mount()
            found = dict(kv.items())
            if found != model:
                raise Failed("resets-%s-%d-%d" % (geometry.name, seed, reset), found, model)
            while True:
                step = steps[i % len(steps)]
                new = model_of(model, step)
                do(kv, step)
                model = new
                i += 1
        except PowerCut:
            pass
        except Failed:
            raise
        except BaseException as e:
            raise Failed("resets-%s-%d-%d" % (geometry.name, seed, reset), repr(e)) from e
        # What the cut step came to is settled by the next boot that ends.
        nor.power_on()
        try:
            kv = KV(region)
            kv.mount()
            found = dict(kv.items())
        except BaseException as e:
            raise Failed("resets-%s-%d-%d" % (geometry.name, seed, reset), repr(e)) from e
        if found != model and found != new:
            raise Failed("resets-%s-%d-%d" % (geometry.name, seed, reset), found, model, new)
        if found == new and new is not model:
            i += 1
        model = found
    return count
