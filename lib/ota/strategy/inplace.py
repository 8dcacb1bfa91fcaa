"""One slot: the boot stage rewrites the active image in place; a reverse package leads back.

rewrite.py rewrites the slot; here are the choice of the package and the record afterwards.
"""

from .. import state
from ..compat import const
from ..delta import decodable
from ..errors import OtaError, StateError
from ..modules import load
from ..state.record import NONE, Image
from .staging import Plan, genuine, reverse

if False:  # for type checkers
    from ota_hints import Callable, Device, Header, Record, Steps

REVERSE = const(2)  # record.previous: the reverse package is staged


def install(
    device: "Device", record: "Record", head: bytes, header: "Header", open_at: "Callable"
) -> "Steps":
    """Stage the package (receive.py)."""
    return load("strategy.receive").install(device, record, head, header, open_at)


def apply(device: "Device", record: "Record", header: "Header") -> "Steps":
    """Generator: carry out the rest of APPLY; leaves TRIAL. Yields (done, total) in blocks.

    Args:
        header: of the staged package, checked in this boot.
    Raises:
        OtaError: FlashError "journal" if neither scratch nor slot holds the block in progress.
    """
    plan = Plan(device, header)
    rewrite = load("strategy.rewrite").rewrite  # receiving needs none of it
    yield from rewrite(device, record, header, 0, plan, record.image, record.new)
    device.free()
    record.previous = NONE
    if _leads(device, header, plan, record.new, record.image):
        record.previous = REVERSE
    record.old, record.image, record.new = record.image, record.new, Image()
    record.state = state.TRIAL
    record.tries = device.tries
    device.slots.save(record)


def back(device: "Device", record: "Record") -> "Steps":
    """Generator: apply the reverse package; leaves IDLE. Yields (done, total) in blocks.

    Raises:
        StateError: "none" if there is no reverse package.
    """
    header = genuine(device, device.region("ota"))
    plan = Plan(device, header)
    header = record.previous == REVERSE and _leads(device, header, plan, record.image, record.old)
    if not header:
        raise StateError("none")
    rewrite = load("strategy.rewrite").rewrite
    yield from rewrite(device, record, header, plan.reverse, plan, record.image, record.old)
    record.image, record.old = record.old, Image()
    record.previous = NONE
    record.state = state.IDLE
    record.tries = 0
    device.slots.save(record)


def reversible(device: "Device", record: "Record") -> bool:
    """True if the reverse package is staged, genuine, and leads to the previous image."""
    try:
        header = genuine(device, device.region("ota"))
        plan = Plan(device, header)
    except OtaError:
        return False
    return bool(_leads(device, header, plan, record.image, record.old))


def _leads(device, header, plan, here, there):
    """Header of the reverse package behind that of header, if it is complete and an ordered patch
    from image here to image there; else None."""
    if not plan.reverse:
        return None
    try:
        back = reverse(device, header, plan.reverse)
        plan.room(back)
    except OtaError:
        return None
    if (
        back.ordered
        and back.product == device.product
        and back.target == device.component
        and back.base_digest == here.digest
        and back.image_digest == there.digest
        and decodable(back)
    ):
        return back
    return None
