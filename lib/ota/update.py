"""The way of an update: ask, decide, stream, write, read back, arm (docs/way.md).

Generators of progress: each step yields (stage, done, total), or None while it waits, so a plain
loop, an asyncio task or a test drives it and may stop anywhere. Everything they work on is an
argument.
"""

import time

from . import clock, package, state
from .compat import collect_often, const, sleep_ms, threshold
from .errors import OtaError, PolicyError, StateError, TransportError
from .modules import load, phase
from .package import chunks
from .package.reader import PackageReader, match, newer

if False:  # for type checkers
    from ota_hints import Callable, Choice, Device, Progress, Source, Steps

_PAUSE_MS = const(5)


def run(device: "Device", source: "Source", now: int = 0) -> "Steps":
    """Generator: one whole update from a source.

    Args:
        source: where the manifest comes from, such as source.static.Static.
        now: seconds since 1970, 0 if not known.
    Returns:
        {"result": "none"}; {"result": "ready", "version": ..., "size": bytes of the package,
        "delta": ...}: the next boot acts; {"result": "trial"}: the running image is on trial, no
        server was asked.
    Raises:
        OtaError: the state record keeps its code.
    """
    return _with_memory(device, _run(device, source, now))


def install(
    device: "Device", open_at: "Callable", choice: "Choice | None" = None, downgrade: bool = False
) -> "Steps":
    """Generator: install one package.

    Args:
        open_at: generator function; open_at(offset) returns a reader that begins there.
        choice: manifest.Choice that the package must match; None: a package without a manifest,
            which must be newer than the running image.
        downgrade: take an older full package, too.
    Returns:
        As run(); "none" if this image runs already.
    Raises:
        OtaError: PolicyError "older" for a package that is not newer.
    """
    return _with_memory(device, _install(device, open_at, choice, downgrade))


def _run(device, source, now):
    try:
        _may_start(device)
    except StateError as e:
        return load("state.failure").answer(device, e)
    try:
        for again in (True, False):
            try:
                return (yield from _update(device, source, now))
            except TransportError as e:
                # The package was replaced while it came; there is a new manifest, too.
                if not again or e.reason != "changed":
                    raise
    finally:
        source.close()


def _update(device, source, now):
    yield "ask", 0, 0
    choice = yield from _ask(device, source, now)
    if choice is None:
        return {"result": "none", "version": device.slots.load().image.version}
    retry = _retried(device, choice)
    yield "decide", 0, choice.size
    opener = source.open(choice.url, choice.size)
    done = yield from _install(device, opener, choice, False)
    if retry:
        load("state.accepted").armed(device)
    return done


def _ask(device, source, now):
    """Generator: the manifest.Choice that the source's manifest offers this device, or None."""
    device.block()  # long, so before the connection
    try:
        data = yield from source.check()
        if data is None:
            return None
        choice, expires, sequence, refusal = _decide(device, data, now)
        # Accepted, it is the oldest from now on, also where it offers nothing: what it takes
        # back must not come again by an older one.
        load("state.accepted").keep(device, device.slots.load(), sequence)
        device.checked = int(time.time())
        if refusal:
            raise refusal
    except OtaError as e:
        _note(device, e)
        raise
    if choice is None:
        source.report("none", expires)
    return choice


def _decide(device, data, now):
    """Check a manifest and decide by it.

    Returns (manifest.Choice or None, when it expires, its sequence, PolicyError "base" or None):
    a manifest whose patches and images do not fit this device is accepted all the same.
    """
    manifest = load("manifest")
    choice = refusal = None
    try:
        found = manifest.read(data, device.verify(manifest.check, data))
        if found["channel"] != device.channel:
            raise PolicyError("channel", found["channel"])
        record = device.slots.load()
        record.sequence = load("state.accepted").bound(device, record)
        # A lower bound of the time is a clock, too.
        now = max(now, clock.since(record.month))
        try:
            choice = manifest.decide(found, device, record, now)
        except PolicyError as e:
            if e.reason != "base":
                raise
            refusal = e
        return choice, found.get("expires", 0), found["sequence"], refusal
    finally:
        phase("manifest")


def _retried(device, choice) -> bool:
    """True if this release was rolled back or rejected here before and is tried once more.

    Raises PolicyError "seen" if it is not: asking again must not start the same circle. The
    record keeps why it failed.
    """
    record = device.slots.load()
    retry = choice.image_digest[:8] == record.seen or choice.digest[:8] == record.refused
    if retry and not load("state.accepted").again(device, record, choice):
        raise PolicyError("seen")
    return retry


def _install(device, open_at, choice, downgrade):
    _may_start(device)
    reader = PackageReader(open_at)
    try:
        device.block()
        head = yield from chunks.head((yield from reader.open(0)))
        header = package.parse(head)
        device.verify(package.check, head)
        record = device.slots.load()
        if header.digest[:8] == record.package and record.state == state.READY:
            return _result(header)
        if choice:
            match(header, choice)
            if choice.sequence != record.sequence:  # not again for a download that resumes
                record.month = clock.later(record.month, choice.issued)
            record.sequence = choice.sequence
        elif header.product == device.product and header.target == device.component:
            # The strategies reject what is for others.
            if header.image_digest == record.image.digest:
                return {"result": "none", "version": record.image.version}
            newer(header, record, downgrade)
        device.prepare_kv()  # while there is memory for its code
        for step in device.strategy.install(device, record, head, header, reader.open):
            yield step and ("stream", step[0], step[1])
    except OtaError as e:
        _note(device, e)
        raise
    finally:
        reader.close()
    yield "arm", 0, 0
    return _result(header)


def _with_memory(device, steps):
    """Generator: steps, with the memory they need (docs/memory.md); StateError "memory" where it
    runs out."""
    before = threshold()
    try:
        _release(device)  # an application used it
        # Long pieces come next, and an application has left its garbage.
        collect_often()
        return (yield from steps)
    except MemoryError:
        pass
    finally:
        _settle(device)
        threshold(before)
    raise _short(device)


def _short(device):
    """StateError "memory", noted; not while the MemoryError is there, which holds things."""
    error = StateError("memory")
    try:
        device.unload_keys()
        _release(device)
        phase("manifest")
        _note(device, error)
    except (MemoryError, OtaError):
        pass  # no room even for that: it is raised all the same
    finally:
        _settle(device)
    return error


def _settle(device):
    """Leave the application the memory that it had before the update."""
    device.free()
    phase("state.accepted", "state.failure")


def _release(device):
    if device.kv.loaded:
        device.unload_kv()


def _note(device, error):
    load("state.failure").note(device, error)


def finish(
    device: "Device", steps: "Steps", progress: "Progress | None" = None, reset: bool = False
) -> dict:
    """Run a generator of progress to its end in a plain loop; return its result.

    Args:
        progress: progress(stage, done, total) is called at each step.
        reset: restart the board if the result is "ready".
    """
    result = drive(steps, progress, _pause, device.feed)
    if reset and result["result"] == "ready":
        load("boot.trial").reset()
    return result


def drive(
    steps: "Steps",
    progress: "Progress | None" = None,
    wait: "Callable | None" = None,
    feed: "Callable | None" = None,
) -> dict:
    """The loop under finish().

    Args:
        wait: called while there is nothing to do.
        feed: called after each step.
    """
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
