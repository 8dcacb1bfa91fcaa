"""Cut the power at every operation of a recorded run, without running it again each time.

Code that runs with power does the same again on the same flash. So a run is recorded once,
as the operations it began; the flash at any cut is then made by repeating operations on the
mock, and only what comes after the cut runs for real.
"""

from faults import EFFECTS
from nor import PowerCut


class Failed(Exception):
    """A case did not end well; args: replay code, what."""


class Run:
    """Operations of one run from snapshot start; step[n]: which action operation n was of."""

    def __init__(self, nor, actions):
        self.start = nor.snapshot()
        self.log = nor.log = []
        self.step = []
        try:
            for i, action in enumerate(actions):
                action()
                self.step += [i] * (len(self.log) - len(self.step))
        finally:
            nor.log = None
        self.end = nor.snapshot()


def repeat(nor, op):
    """Do a recorded operation; what the chip refused then it refuses again."""
    try:
        if op[0] == "program":
            nor.program(op[1], op[2])
        else:
            nor.erase(op[1], nor.sectors[nor.sector_of(op[1])][1])
    except OSError:
        pass


def cut(nor, op, effect, seed):
    """Do a recorded operation, and power goes in it; it is back on afterwards."""
    nor.dice.state = seed
    nor.cut_at(1, effect)
    try:
        repeat(nor, op)
    except PowerCut:
        pass
    nor.power_on()


def seed_of(seed, n, effect):
    """Seed of the dice in one case: it does not depend on the cases before it."""
    return (seed * 1000003 + n * 131 + EFFECTS.index(effect) * 7 + 1) & 0x7FFFFFFF


def explore(nor, run, effects, visit, seed=1, wanted=None):
    """Call visit(n, effect) with the flash as each cut of run leaves it, power back on.

    wanted(n, effect): which cases to look at, all of them by default. Returns how many.
    """
    count = 0
    nor.restore(run.start)
    for n, op in enumerate(run.log):
        base = nor.snapshot()
        for effect in effects:
            if wanted is None or wanted(n, effect):
                cut(nor, op, effect, seed_of(seed, n, effect))
                visit(n, effect)
                nor.restore(base)
                count += 1
        repeat(nor, op)
    return count
