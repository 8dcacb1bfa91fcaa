"""The KV on contents that nobody meant: random bytes, overwritten parts, flipped bits."""

from explore import Failed
from faults import FREE, USED, Random
from kv_cuts import do, model_of, random_steps
from nor import Nor
from ota.errors import FlashError
from ota.flash import Region
from ota.kv.full import KV

_SECTORS, _SIZE, _UNIT = 4, 4096, 8
_SEED = 5


class Store:
    """A used store of 16 KB: its flash, what is in it, and everything that ever was."""

    def __init__(self, sectors=_SECTORS, size=_SIZE, unit=_UNIT, steps=150, longest=60):
        self.nor = nor = Nor(sectors * size, size, unit, _SEED)
        self.region = Region(nor, 0, nor.size)
        kv = KV(self.region)
        kv.mount()
        self.model, self.history = {}, {}
        for step in random_steps(steps, _SEED, 12, longest):
            do(kv, step)
            self.model = model_of(self.model, step)
            for key, value in step:
                self.history.setdefault(key, {None}).add(value)
        kv.sync()
        self.base = nor.snapshot()

    def foreign(self, at, data):
        """These bytes are there, whoever put them there."""
        nor = self.nor
        nor.data[at : at + len(data)] = data
        unit = nor.program_size
        for u in range(at // unit, (at + len(data) - 1) // unit + 1):
            blank = nor.data[u * unit : u * unit + unit] == b"\xff" * unit
            nor.mark(u, 1, FREE if blank else USED)
        for s in range(nor.sector_of(at), nor.sector_of(at + len(data) - 1) + 1):
            nor._dirty.add(s)

    def look(self, code, refusals):
        """Mount; returns what is there, None if it was refused with one of these words."""
        kv = KV(self.region)
        try:
            kv.mount()
            found = dict(kv.items())
        except FlashError as e:
            if e.reason in refusals:
                return None
            raise Failed(code, repr(e)) from e
        except BaseException as e:
            raise Failed(code, repr(e)) from e
        for key in found:
            if found[key] not in self.history.get(key, ()):
                raise Failed(code, "a value that was never stored", key, found[key])
        return found

    def works(self, code, found):
        """A store that was mounted is settled and can be written to."""
        ops = self.nor.ops
        if self.look(code, ()) != found:
            raise Failed(code, "the second boot found something else")
        if self.nor.ops != ops:
            raise Failed(code, "the second boot wrote")
        kv = KV(self.region)
        kv.mount()
        kv.set("ota.app", b"new")
        kv = KV(self.region)
        kv.mount()
        if kv.get("ota.app") != b"new":
            raise Failed(code, "what was set is not there")


_stores = {}


def _store(name, *args):
    if name not in _stores:
        _stores[name] = Store(*args)
    store = _stores[name]
    store.nor.restore(store.base)
    store.nor.power_on()
    return store


def contents(first, count):
    """Start on `count` random contents: noise, or a store that something wrote over."""
    for number in range(first, first + count):
        code = "contents-%d" % number
        store = _store("small", 3, 1024, 8, 60, 24)
        nor, dice = store.nor, Random(number * 7919 + 1)
        dice.below(2)
        kind = number % 4
        if kind == 0:
            store.foreign(0, dice.bits(nor.size).to_bytes(nor.size, "little"))
        else:
            # A sector, some bytes, or bits here and there.
            n = (1024, 1 + dice.below(200), 1)[kind - 1]
            for _ in range((1, 3, 20)[kind - 1]):
                at = dice.below(nor.size - n + 1)
                if kind == 1:
                    at = at // n * n
                store.foreign(at, dice.bits(n).to_bytes(n, "little"))
        found = store.look(code, ("corrupt", "magic", "config"))
        if found is not None:
            store.works(code, found)
    return count


def flips(first, count):
    """Flip each bit of bytes first.. of a settled store: at most the record it hits is lost."""
    for at in range(first, first + count):
        for bit in range(8):
            code = "flips-%d" % at
            store = _store("large")
            nor = store.nor
            store.foreign(at, bytes([nor.data[at] ^ 1 << bit]))
            found = store.look(code, ())
            model = store.model
            lost = [key for key in model if found.get(key) != model[key]]
            more = [key for key in found if key not in model]
            # One record: a batch of three at the most.
            if len(lost) + len(more) > 3:
                raise Failed(code, bit, "lost", lost, "came back", more)
            if at % 64 == 0:
                store.works(code, found)
    return 8 * count
