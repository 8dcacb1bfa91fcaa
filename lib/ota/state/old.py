"""State records that are not as record.py writes them: of the layout before, or without sense.

Loaded by state/record.py only then.
"""

import struct

from .. import state
from ..compat import const
from ..errors import FlashError, code

_HEAD = const("<BBBBBBHIII8s8s")
_SIZE = const(204)
_NONE = const(255)


def first(data, r):
    """Fill r, a new slots.Record, but for its images, from a value of layout 1; returns it.

    Raises FlashError "corrupt" for any other value.
    """
    if len(data) != _SIZE or data[0] != 1:
        raise FlashError("corrupt", len(data))
    # It had no secret, and one place for what was rolled back or refused.
    (_, r.state, r.active, r.previous, r.tries, r.month, r.reason, _, r.sequence, r.floor,
     r.package, r.seen) = struct.unpack_from(_HEAD, data)  # fmt: skip
    r.refused = r.seen
    return r


def mend(r, strategy: str):
    """Make sense of r, a slots.Record that has none: RESCUE, reason "corrupt"; returns it.

    r.new: what it says of the image that ran. What keeps old images out stays. A confirmed image
    stays, too: the boot stage runs it if the slot holds it.
    """
    if r.active >= len(state.facts(strategy)[1]):
        r.active = 0
    if r.state not in (state.IDLE, state.FETCH, state.READY):
        r.new = r.old
    r.state, r.previous, r.tries = state.RESCUE, _NONE, 0
    r.reason = code("corrupt")
    return r
