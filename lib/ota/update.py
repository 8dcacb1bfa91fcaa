"""The way of an update: ask, decide, stream, write, read back, arm (docs/way.md).

Generators of progress: each step yields (stage, done, total) or None while it waits, so a
plain loop, an asyncio task or a test drives it and may stop anywhere. Everything it works
on is handed in.
"""

import time

from . import clock, package, state
from .compat import collect, collect_often, const, sleep_ms, threshold
from .device import load, unload
from .errors import OtaError, PolicyError, StateError, TransportError
from .package import chunks
from .package.reader import PackageReader, match, newer

_PAUSE_MS = const(5)


def run(device, source, now: int = 0):
    """Generator: one whole update from source; returns a dict of what happened.

    {"result": "none"}; {"result": "ready", "version": ..., "size": bytes of the package,
    "delta": ...}: then the next boot acts; {"result": "trial"}: nobody was asked. now: seconds
    since 1970, 0 if not known. Raises OtaError; why stays readable in the state record.
    """
    try:
        try:
            _may_start(device)
        except StateError as e:
            return load("state.failure").answer(device, e)
        before = threshold()
        try:
            for again in (True, False):
                try:
                    steps, given_up = yield from _ask(device, source, now)
                    if given_up is not None:
                        steps = yield from steps
                    if given_up:
                        load("state.accepted").armed(device)
                    return steps
                except TransportError as e:
                    # The package was replaced while it came; there is a new manifest, too.
                    if not again or e.reason != "changed":
                        raise
        finally:
            source.close()
            device.free()
            threshold(before)
    except MemoryError:
        pass
    raise _short(device)


def _ask(device, source, now):
    """Generator: (generator that installs, whether its release was given up here before), or
    (result, None). Its frame is gone when the stream comes."""
    yield "ask", 0, 0
    _release(device)  # an application used it; a signature needs the room
    collect_often()  # beside an application the heap may be full of its garbage
    device.block()
    try:
        data = yield from source.check()
        if data is None:
            return {"result": "none", "version": device.slots.load().image.version}, None
        choice, expires, sequence, refusal = _decide(device, data, now)
        data = None  # a whole stream comes next, and maybe the KV's code
        accepted = load("state.accepted")  # collects what the manifest left
        record = device.slots.load()
        # Accepted, it is the oldest from now on, also where it offers nothing: what it takes
        # back must not come again by an older one.
        accepted.keep(device, record, sequence)
        _release(device)
        device.checked = int(time.time())
        if refusal:
            raise refusal
    except OtaError as e:
        unload("state.accepted")
        _note(device, e)
        raise
    if choice is None:
        source.report("none", expires)
        unload("state.accepted")
        return {"result": "none", "version": record.image.version}, None
    given_up = choice.image_digest[:8] == record.seen or choice.digest[:8] == record.refused
    # It was rolled back or refused at a boot: asking again must not start the same circle.
    # The record keeps why it was.
    if given_up and not accepted.again(device, record, choice):
        raise PolicyError("seen")
    accepted = record = None
    unload("state.accepted")
    _release(device)
    yield "decide", 0, choice.size
    collect()  # what comes stays, and lies where that was
    opener = source.open(choice.url, choice.size)
    return _install(device, opener, choice, False), given_up


def _release(device):
    if device.kv.loaded:
        device.unload_kv()


def _decide(device, data, now):
    """(manifest.Choice or None, when the manifest expires, its sequence, PolicyError "base" or
    None) of a manifest that is accepted."""
    manifest = load("manifest")
    choice = refusal = None
    try:
        keys = device.keys
        # A signature takes memory for a moment: that of the block, which it leaves as it was.
        device.free()
        length = manifest.check(data, keys)
        collect()
        device.block()
        keys = None
        found = manifest.read(data, length)
        if found["channel"] != device.channel:
            raise PolicyError("channel", found["channel"])
        record = device.slots.load()  # not while a signature is checked
        record.sequence = load("state.accepted").bound(device, record)
        # What has surely passed is a clock, too.
        now = max(now, clock.since(record.month))
        try:
            choice = manifest.decide(found, device, record, now)
        except PolicyError as e:
            if e.reason != "base":
                raise
            refusal = e
        return choice, found.get("expires", 0), found["sequence"], refusal
    finally:
        unload("manifest")


def install(device, open_at, choice=None, downgrade: bool = False):
    """Generator: install the package that open_at(offset) gives readers of.

    choice: manifest.Choice that the package must match, None for one that comes by itself: not
    newer than what runs it is a PolicyError "older". downgrade: then a full package is taken all
    the same. Returns as run() does, "none" for the image that runs. Raises OtaError.
    """
    # No generator itself: its frame would hold the choice as long as the stream takes.
    return _guarded(device, _install(device, open_at, choice, downgrade))


def _install(device, open_at, choice, downgrade):
    _may_start(device)
    before = collect_often()  # long pieces come next, and an application has left its garbage
    reader = PackageReader(open_at)
    try:
        device.block()
        head = yield from chunks.head((yield from reader.open(0)))
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
            match(header, choice)
            if choice.sequence != record.sequence:  # not again for a download that goes on
                record.month = clock.later(record.month, choice.issued)
            record.sequence = choice.sequence
            choice = None
        elif header.product == device.product and header.target == device.component:
            # The strategies refuse what is for others.
            if header.image_digest == record.image.digest:
                return {"result": "none", "version": record.image.version}
            newer(header, record, downgrade)
        device.prepare_kv()  # while there is memory for its code
        steps = device.strategy.install(device, record, head, header, reader.open)
        head = None  # the strategy's own, if it needs it
        for step in steps:
            yield step and ("stream", step[0], step[1])
    except OtaError as e:
        _note(device, e)
        raise
    finally:
        reader.close()
        device.free()
        threshold(before)
    yield "arm", 0, 0
    return _result(header)


def _guarded(device, steps):
    """Generator: steps, where memory that runs out ends in StateError "memory"."""
    try:
        return (yield from steps)
    except MemoryError:
        pass
    raise _short(device)


def _short(device):
    """StateError "memory", noted; not while the MemoryError is there, which holds things."""
    error = StateError("memory")
    try:
        device.free()
        device.unload_keys()
        for name in ("accepted", "manifest", "config"):
            unload(name)
        collect()
        _release(device)
        _note(device, error)
    except (MemoryError, OtaError):
        pass  # no room even for that: it is told all the same
    return error


def _note(device, error):
    load("state.failure").note(device, error)
    unload("state.failure")


def finish(device, steps, progress=None, reset: bool = False):
    """Run a generator of progress to its end in a plain loop; returns its result.

    progress(stage, done, total) is called at each step. reset: restart the board when the
    result is an image that waits for it.
    """
    result = drive(steps, progress, _pause, device.feed)
    if reset and result["result"] == "ready":
        load("boot.trial").reset()
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


def _may_start(device):
    """Raise StateError unless the state allows an update."""
    record = device.slots.load()
    if record is None:
        raise StateError("state")
    if record.state == state.TRIAL:
        raise StateError("trial")
    if record.state in (state.APPLY, state.BACK):
        raise StateError("state", record.state)


def _result(header):
    return {
        "result": "ready",
        "version": header.version,
        "size": header.size,
        "delta": header.encoding == package.PATCH,
    }
