"""Falls back from an image that cannot be mounted or started. Loaded only then.

    on trial              the try counts; if it cannot be mounted it is reverted at once
    confirmed             the previous image, if that is intact and allowed; else the factory
                          image, if that is a different one; else the rescue module, in this start

Each link of this chain is one state record that the boot stage carries out; none is used twice.
An intact image is never recorded as lost: another firmware may be able to mount it.
"""

import sys

from .. import device as _device
from .. import modules, state
from ..compat import collect, const
from ..errors import OtaError, StateError, code
from ..modules import load
from ..state.detail import keep
from ..state.record import NONE, Image
from ..strategy import holds

if False:  # for type checkers
    from ota_hints import Callable, Device, Record

_LINKS = const(4)  # image, the one before it, factory image


def settling(device: "Device", error: Exception) -> "Record":
    """Continue after an unexpected exception in settling, such as MemoryError.

    Returns the record; raises error if there is none.
    """
    _device.error = error, device.config
    device.free()
    collect()
    record = device.slots.load()
    if record is None:
        raise error
    if record.state == state.READY:
        # Nothing was changed yet. Reject the package, or each boot would end here.
        error = StateError(_word(error, "start"), error)
        load("boot.outcome").refuse(device, record, record.package, error)
        keep(device, record.reason, error.args[1])
    elif record.state in (state.APPLY, state.BACK):
        device.failed = code(_word(error, "start"))  # the next boot resumes
    return record


def mounting(device: "Device", record: "Record", error: Exception, mount: "Callable") -> "Record":
    """Mount another image by the chain above, after one could not be mounted; return the record.

    Args:
        error: the exception.
        mount: function of the boot stage.
    """
    for _ in range(_LINKS):
        # Try once more: it may have been a misread, or garbage took the memory.
        unmount(device)
        collect()
        try:
            mount(device, device.slot(record.active))
            return record
        except Exception as e:
            error = e
        unmount(device)
        _device.error = error, device.config
        word = _word(error, "mount")
        try:
            if not _give_up(device, record, word, error):
                device.failed = code(word)
                return record
            record = load("boot.apply").settle(device, record)
        except Exception as e:  # most likely from the KV: this start has no image
            _device.error = e, device.config
            device.failed = code(word)
            return record
        if record.state == state.RESCUE or record.image.floor < record.floor:
            break
    return record


def tried(device: "Device", error: Exception, name: str) -> None:
    """Record why the start of an image on trial failed; the try is counted already."""
    record = device.slots.load()
    record.reason = code(_word(error, "main" if _missing(device, name, error) else "exception"))
    # If power goes here, the next start knows of a try without a reason.
    device.slots.save(record)
    keep(device, record.reason, error)


def started(device: "Device", error: Exception, name: str) -> bool:
    """Handle the failure of a confirmed image. True if the next boot runs another one."""
    _device.error = error, device.config
    if not _missing(device, name, error):
        return False
    return _give_up(device, device.slots.load(), "main", error)


def leave() -> None:
    """Take the slot off sys.path and forget what was imported since, except our own modules."""
    # An application may stand in its folder, too, and have "" on the path.
    sys.path[:] = [p for p in sys.path if p[:1] in ("/", ".") and not modules.inside(p)]
    known = modules.slot[0]
    modules.slot[2] = ()
    for n in list(sys.modules):
        if known is not None and n not in known and n != "ota" and n[:4] != "ota.":
            del sys.modules[n]
    collect()


def unmount(device: "Device") -> None:
    """Unmount the slot and take it off sys.path."""
    leave()
    where = device.config.get("mount", "/app")
    for root in (where, "/rom" + where.replace("/", "_")):
        try:
            load("boot").vfs.umount(root)
        except (AttributeError, OSError):
            pass  # it was not there: a mount may fail half-way


def _give_up(device, record, word, error) -> bool:
    """Record the next link of the chain; False if there is none."""
    if record.state == state.TRIAL:
        load("boot.outcome").go_back(device, record, word)
        keep(device, code(word), error)
        return True
    if record.state not in (state.IDLE, state.FETCH) or word == "memory":
        return False  # the next image would need memory, too
    whole = holds(device.slot(record.active), record.image, device.feed)
    if _back(device, record):
        if record.state == state.FETCH:
            # If power goes here, the next boot finds the same and resumes.
            record.state, record.new = state.IDLE, Image()
            device.slots.save(record)
        load("boot.outcome").go_back(device, record, word)
    elif not whole or _factory(device, record):
        record.reason = code(word)
        load("boot.outcome").rescue(device, record)
    else:
        if record.reason != code(word):
            record.reason = code(word)
            device.slots.save(record)
            keep(device, record.reason, error)
        return False
    keep(device, code(word), error)
    return True


def _back(device, record):
    return (
        record.previous != NONE
        and record.old.floor >= record.floor
        and load("boot.outcome").way_back(device, record)
    )


def _factory(device, record):
    """True if there is a factory image, different from the one that fails."""
    if "factory" not in device.partitions:
        return False
    try:
        header = load("strategy.staging").genuine(device, device.region("factory"))
    except OtaError:
        return False
    return header.image_digest != record.image.digest


def _word(error, other):
    return "memory" if isinstance(error, MemoryError) else other


def _missing(device, name, error):
    """True if the slot has no module of this name, or it is the caller."""
    if isinstance(error, StateError):
        return error.reason == "main"
    if not isinstance(error, ImportError) or not device.config.get("mount", "/app"):
        return False
    return repr(name) in str(error)
