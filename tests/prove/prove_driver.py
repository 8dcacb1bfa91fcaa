"""Cut the power of the KV on somebody's own flash driver.

    python tests/prove --driver mine:make      mine.make() returns the driver

or on a board:  import prove_driver; prove_driver.check(MyFlash())

It uses the first three sectors and erases what is there. Power "goes" before, after and in the
middle of each program and erase: the driver is then left alone and the store mounted anew, as
after a reset. A program is cut after half of its units; what a chip does to the unit in
progress only the chip can show.
"""

import sys

from explore import Failed
from kv_cuts import do, model_of, random_steps
from nor import PowerCut
from ota.flash import Region
from ota.kv.full import KV

_SECTORS = 3
_STEPS = 24


class Cutter:
    """A driver that loses power at one operation."""

    def __init__(self, driver):
        self._driver = driver
        self.size, self.sector_size = driver.size, driver.sector_size
        self.program_size = driver.program_size
        self.read, self.sync = driver.read, driver.sync
        self.ops = self.at = 0
        self.effect = ""

    def program(self, offset, data):
        """As the driver, unless power goes."""
        data = memoryview(data)
        if self._due():
            n = len(data)
            if self.effect == "middle":
                n = n // self.program_size // 2 * self.program_size
            if self.effect != "before" and n:
                self._driver.program(offset, data[:n])
            raise PowerCut(self.effect)
        self._driver.program(offset, data)

    def erase(self, offset, length):
        """As the driver, unless power goes."""
        if self._due():
            if self.effect == "after":
                self._driver.erase(offset, length)
            raise PowerCut(self.effect)
        self._driver.erase(offset, length)

    def _due(self):
        self.ops += 1
        return self.ops == self.at


def check(driver, steps=_STEPS):
    """Try every cut; returns how many. Raises explore.Failed."""
    sector = driver.sector_size
    region = Region(driver, 0, min(_SECTORS * sector, driver.size // sector * sector))
    plan = random_steps(steps, 3, 4, min(24, sector // 16))
    count = 0
    for effect in ("before", "middle", "after"):
        at = 1
        while _case(driver, region, plan, at, effect):
            at += 1
            count += 1
    return count


def _case(driver, region, plan, at, effect):
    # False if there is no operation number `at`.
    region.erase(0, region.size)
    cutter = Cutter(driver)
    cutter.at, cutter.effect = at, effect
    old = new = {}
    code = "driver-%d-%s" % (at, effect)
    try:
        kv = KV(Region(cutter, region.offset, region.size))
        kv.mount()
        for step in plan:
            old, new = new, model_of(new, step)
            do(kv, step)
        return False
    except PowerCut:
        pass
    for boot in range(3):
        kv = KV(region)
        kv.mount()
        found = dict(kv.items())
        if found != old and found != new:
            raise Failed(code, "boot", boot, found, old, new)
        old = new = found
    for step in plan:
        new = model_of(new, step)
        do(kv, step)
    kv = KV(region)
    kv.mount()
    if dict(kv.items()) != new:
        raise Failed(code, "later", dict(kv.items()), new)
    return True


def main(name):
    """name: "module:callable"; returns the exit status."""
    module, _, make = name.partition(":")
    __import__(module)
    try:
        count = check(getattr(sys.modules[module], make)())
    except Failed as e:
        print("FAILED", *e.args)
        return 1
    print("%d passed, 0 failed" % count)
    return 0 if count else 1
