"""States of a component and the moves between them: this table and nothing else.

    IDLE    the active image is confirmed          FETCH   an update is being received
    READY   received and verified, next boot acts  APPLY   the boot stage changes a slot
    TRIAL   the new image runs unconfirmed         BACK    the boot stage goes back
    RESCUE  no image that may run

docs/states.md says what each move means; tests/shared/test_moves.py makes each of them.
"""

from ..compat import const
from ..errors import StateError
from ..modules import load

IDLE = const(0)
FETCH = const(1)
READY = const(2)
APPLY = const(3)
TRIAL = const(4)
BACK = const(5)
RESCUE = const(6)

# Texts instead of tuples and dicts: in place in flash, they cost no heap.
_NAMES = const("IDLE FETCH READY APPLY TRIAL BACK RESCUE")

# What each strategy is: how a package reaches its slot (strategy/__init__.py), for each slot that
# may be active the number of the one before it (2: none, the reverse package), then for each state
# those that may follow, as digits. A state may always be written again. These rows are here
# because a board that starts, or asks for a manifest, has no strategy loaded; one that is not
# among them states its row as FACTS in its module.
_FACTS = const(
    # RESCUE -> IDLE: the factory image was put back.
    # ab has nothing to apply: the new image is already whole in its slot.
    " ab streams 10 156 026 0146 - 056 06 01 ;"
    # Going back copies the backup; an apply that fails goes back too, or to IDLE as long as
    # it changed nothing. IDLE -> READY: a package that was staged by hand.
    " pingpong staged 1 1256 026 0136 0456 056 06 012 ;"
    # Going back needs the reverse package behind the staged one; half of an apply has none.
    " inplace in-place 2 1256 026 0136 046 056 06 012 ;"
)


def name(state: int) -> str:
    """The state's word."""
    return _NAMES.split()[state]


def check(strategy: str, old: int, new: int) -> None:
    """Raise StateError "state" unless the strategy may go from old to new."""
    if old != new and not may(strategy, old, new):
        raise StateError("state", old, new)


def may(strategy: str, old: int, new: int) -> bool:
    """True if the strategy has a move from state old to state new."""
    return str(new) in facts(strategy)[2 + old]


def facts(strategy: str) -> list:
    """What a strategy is: "streams", "staged" or "in-place"; for each slot that may be active one
    digit, the slot before it; for each state those that may follow.

    Raises:
        AttributeError, ImportError, ValueError: there is no such strategy.
    """
    i = _FACTS.find(" %s " % strategy)
    if i < 0:
        return load("strategy." + strategy).FACTS.split()
    i += len(strategy) + 2
    return _FACTS[i : _FACTS.find(" ;", i)].split()
