"""State records that record.py did not write: of the earlier layout, or invalid.

Loaded by state/record.py only then.
"""

import struct

from .. import state
from ..compat import const
from ..errors import FlashError, code

if False:  # for type checkers
    from ota_hints import Record

_HEAD = const("<BBBBBBHIII8s8s")
_SIZE = const(204)
_NONE = const(255)


def first(data: bytes, r: "Record") -> "Record":
    """Fill r, a new record.Record, from a value of layout 1, except for its images; return it.

    Raises:
        FlashError: "corrupt" for any other value.
    """
    if len(data) != _SIZE or data[0] != 1:
        raise FlashError("corrupt", len(data))
    # That layout had no secret, and one field for reverted images and rejected packages.
    (_, r.state, r.active, r.previous, r.tries, r.month, r.reason, _, r.sequence, r.floor,
     r.package, r.seen) = struct.unpack_from(_HEAD, data)  # fmt: skip
    r.refused = r.seen
    return r


def mend(r: "Record", strategy: str) -> "Record":
    """Turn r, an invalid record.Record, into RESCUE with the reason "corrupt"; return it.

    Floor and sequence stay. r.new is the image that ran: the boot stage runs it again if it was
    confirmed and the slot holds it.
    """
    if r.active >= len(state.facts(strategy)[1]):
        r.active = 0
    if r.state not in (state.IDLE, state.FETCH, state.READY):
        r.new = r.old
    r.state, r.previous, r.tries = state.RESCUE, _NONE, 0
    r.reason = code("corrupt")
    return r
