"""The way of an update: ask, decide, stream, write, read back, arm (docs/way.md).

Generators of progress: each step yields (stage, done, total) or None while it waits, so a
plain loop, an asyncio task or a test drives it and may stop anywhere. Everything it works
on is handed in.
"""

from . import clock, package, state
from .compat import collect, collect_often, const, sleep_ms, threshold
from .device import load, unload
from .errors import OtaError, PolicyError, StateError, TransportError, VerifyError
from .package import chunks
from .slots import Image

_PAUSE_MS = const(5)
_LATER = const(39)  # highest code of a TransportError


def run(device, source, now: int = 0):
    """Generator: one whole update from source; returns a dict of what happened.

    {"result": "none"} or {"result": "ready", "version": ..., "size": bytes of the package,
    "delta": ...}: then the next boot acts. now: seconds since 1970, 0 if not known.
    Raises OtaError; why stays readable in the state record.
    """
    _may_start(device)
    before = threshold()
    try:
        try:
            return (yield from _ask(device, source, now))
        except TransportError as e:
            if e.reason != "changed":
                raise
        # The package was replaced while it came; there is a new manifest, too. Asked for once.
        return (yield from _ask(device, source, now))
    finally:
        source.close()
        device.free()
        threshold(before)


def _ask(device, source, now):
    yield "ask", 0, 0
    if device.kv.loaded:
        device.unload_kv()  # an application used it; a signature needs the room
    collect_often()  # beside an application the heap may be full of its garbage
    device.block()
    try:
        data = yield from source.check()
        if data is None:
            return {"result": "none", "version": device.slots.load().image.version}
        choice, expires, record = _decide(device, data, now)
    except OtaError as e:
        _note(device, e)
        raise
    if choice is None:
        source.report("none", expires)
        return {"result": "none", "version": record.image.version}
    if record.seen == choice.image_digest[:8]:
        # It was rolled back here: asking again must not start the same circle. The record
        # keeps why it was.
        raise PolicyError("seen")
    yield "decide", 0, choice.size
    steps = install(device, source.open(choice.url, choice.size), choice)
    data = record = choice = None  # a whole stream comes next
    return (yield from steps)


def _decide(device, data, now):
    """(manifest.Choice, when the manifest expires, the state record)."""
    manifest = load("manifest")
    try:
        keys = device.keys
        # A signature takes memory for a moment: that of the block, which it leaves as it was.
        device.free()
        length = manifest.check(data, keys)
        collect()
        device.block()
        keys = None
        found = manifest.read(data, length)
        record = device.slots.load()  # not while a signature is checked
        return manifest.decide(found, device, record, now), found.get("expires", 0), record
    finally:
        unload("manifest")


def install(device, open_at, choice=None):
    """Generator: install the package that open_at(offset) gives readers of.

    choice: manifest.Choice that the package must match, None for one that comes by itself.
    Returns as run() does. Raises OtaError.
    """
    _may_start(device)
    before = collect_often()  # long pieces come next, and an application has left its garbage
    way = Way(open_at)
    try:
        device.block()
        head = yield from chunks.head((yield from way.open(0)))
        header = package.parse(head)
        keys = device.keys
        device.free()  # as for the manifest's signature
        package.check(head, keys)
        collect()
        device.block()
        keys = None
        device.unload_keys()
        collect()
        record = device.slots.load()
        if header.digest[:8] == record.package and record.state == state.READY:
            return _result(header)
        if choice:
            _match(header, choice)
            if choice.sequence > record.sequence:  # not again for a download that goes on
                record.month = clock.later(record.month, choice.issued)
            record.sequence = choice.sequence
            choice = None
        device.prepare_kv()  # while there is memory for its code
        # Only ab writes what it receives at once; the others stage it.
        strategy = "ab" if device.strategy == "ab" else "receive"
        steps = load("strategy." + strategy).install(device, record, head, header, way.open)
        head = None  # the strategy's own, if it needs it
        for step in steps:
            yield step and ("stream", step[0], step[1])
    except OtaError as e:
        _note(device, e)
        raise
    finally:
        way.close()
        device.free()
        threshold(before)
    yield "arm", 0, 0
    return _result(header)


def finish(device, steps, progress=None, reset: bool = False):
    """Run a generator of progress to its end in a plain loop; returns its result.

    progress(stage, done, total) is called at each step. reset: restart the board when the
    result is an image that waits for it.
    """
    result = drive(steps, progress, _pause, device.feed)
    if reset and result["result"] == "ready":
        load("trial").reset()
    return result


def drive(steps, progress=None, wait=None, feed=None):
    """The loop under finish(): wait() is called while there is nothing to do, feed() at
    each turn."""
    while True:
        try:
            step = next(steps)
        except StopIteration as e:
            return e.value
        if feed:
            feed()
        if step is None:
            if wait:
                wait()
        elif progress:
            progress(*step)


def options(device) -> dict:
    """Keyword arguments of transport.resume.Resuming from the configuration.

    "headers" belong to the server of "url", the first of several, or of "package_url" where
    there is no other: whatever address is asked, "home" says so. The newest manifest accepted may
    be younger than the firmware: then "built" of "tls" is when that was issued. Raises FlashError;
    "config" for a key or a kind that is not known.
    """
    load("config").check_update(device.config)
    unload("config")
    collect()  # what it leaves would lie before all that is made now and stays
    found = device.config.get("http", {})
    tls = found.get("tls")
    if found.get("headers"):
        home = device.config.get("url") or device.config.get("package_url") or ""
        found = dict(found)
        found["home"] = home if isinstance(home, str) else home[0]
    record = device.slots.load()
    if record and record.month and (tls is None or isinstance(tls, dict)):
        tls = dict(tls or {})
        tls["built"] = max(tls.get("built", 0), clock.since(record.month))
        found = dict(found)
        found["tls"] = tls
    return found


def _pause():
    sleep_ms(_PAUSE_MS)


class Way:
    """The way the bytes come: one reader, opened again only to stand somewhere else."""

    def __init__(self, open_at):
        self._open_at = open_at
        self._reader = None
        self._at = 0

    def open(self, offset):
        """Generator: itself as the reader that stands at offset."""
        if self._reader is None or self._at != offset:
            self.close()
            self._reader = yield from self._open_at(offset)
            self._at = offset
        return self

    def readinto(self, buf):
        n = self._reader.readinto(buf)
        if n:
            self._at += n
        return n

    def close(self):
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _match(header, choice):
    """Mix-and-match: the package must be the very one the manifest names."""
    if header.digest != choice.digest or header.size + header.reverse_size != choice.size:
        raise VerifyError("digest", header.size)
    if (
        header.version != choice.version
        or header.floor != choice.floor
        or header.image_digest != choice.image_digest
    ):
        raise PolicyError("version")
    # One copy of each is enough.
    header.digest, header.image_digest = choice.digest, choice.image_digest
    header.version = choice.version


def _may_start(device):
    """Raise StateError unless the state allows an update."""
    record = device.slots.load()
    if record is None:
        raise StateError("state")
    if record.state == state.TRIAL:
        raise StateError("trial")
    if record.state in (state.APPLY, state.BACK):
        raise StateError("state", record.state)


def _note(device, error):
    """Keep why in the record; the running image is untouched whatever happened."""
    record = device.slots.load()
    if record.state not in (state.IDLE, state.FETCH, state.READY, state.RESCUE):
        return
    later = isinstance(error, TransportError)
    refused = record.state == state.FETCH and not later
    # A device asks again and again: the same answer is written once, and a server that is
    # away does not hide why an image was refused or rolled back.
    if not refused and (record.reason == error.code or (later and record.reason > _LATER)):
        return
    record.reason = error.code
    if refused:
        record.state = state.IDLE if record.image.size else state.RESCUE
        record.new = Image()
        record.package = bytes(8)  # a good copy of it may come, also by hand
    device.slots.save(record)


def _result(header):
    return {
        "result": "ready",
        "version": header.version,
        "size": header.size,
        "delta": header.encoding == package.PATCH,
    }
