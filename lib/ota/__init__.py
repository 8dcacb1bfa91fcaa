"""Power-safe OTA updates for MicroPython: the public face of the library.

    import ota
    ota.check_and_update()      # ask, decide, download, verify, write, arm
    ota.confirm()               # the new image is good: keep it

Thin functions over update, trial and boot, which are imported when called: a device that
only boots never loads the network. What fails raises ota.errors.OtaError with a stable code;
of an update that only has to wait its result tells. _load() imports past the application's
modules: modules.py.
"""

from .modules import load as _load


def configure(config, watchdog=None):
    """Set the board up where no boot stage did: config is a dict or a JSON file's path.

    Settles the state as a boot does, but mounts nothing.
    """
    device, boot = _load("device"), _load("boot")
    device.current = device.Device(config, watchdog)
    boot.settle(device.current)


def check_and_update(progress=None, reset=False, url=None):
    """Ask the server for an update and install it; the next boot runs it.

    progress(stage, done, total): called on the way, bytes. reset: restart when ready.
    url: of the manifest, or a list of mirrors, by default config "url". Returns a dict:
    "result" is "none", "ready", "later" (the network or the server failed; "reason" and "error"
    say how; ask again) or "trial" (the running image is not confirmed yet; nobody was asked),
    "version" the new one or the one that runs. Raises OtaError for everything else.
    """
    return _update(lambda: steps(url), progress, reset)


def steps(url=None, **options):
    """The generator under check_and_update(), for a loop of your own (or ota.aio).

    options: of transport.resume.Resuming, besides those of config "http". What the network does
    is a TransportError here, not "later".
    """
    try:
        return _steps(url, options)
    except MemoryError:
        raise _load("errors").StateError("memory")


def _steps(url, options):
    d = _load("device").get()
    update, clock = _load("update"), _load("clock")
    Static = _load("source.static").Static
    url = url or d.setting("url")
    for name, value in update.options(d).items():
        options.setdefault(name, value)
    if isinstance(url, str):
        return update.run(d, Static(url, options, None, d.manifests), clock.now())
    mirrors = _load("source.mirrors")
    spread = d.config.get("spread_mirrors") and d.device_id
    return mirrors.run(d, mirrors.sources(url, options, spread, d.manifests), clock.now())


def install_url(url=None, reset=False, progress=None, downgrade=False):
    """Install the package at url, by default config "package_url".

    It must be newer than what runs, PolicyError "older" else; downgrade: a full package of an
    older version is taken, too. Returns and raises as above; "none": it runs already.
    """

    def begin():
        d, update = _load("device").get(), _load("update")
        given = url or d.setting("package_url")
        opener = _load("transport.resume").Resuming(given, **update.options(d)).open
        return update.install(d, opener, None, downgrade)

    return _update(begin, progress, reset)


def install(reader, reset=False, progress=None, downgrade=False):
    """Install the package that reader (a file, a socket, anything with readinto) gives.

    Arguments and result as those of install_url().
    """

    def begin():
        d, update = _load("device").get(), _load("update")
        opener = _load("transport.stream").opener
        return update.install(d, opener(reader), None, downgrade)

    return _update(begin, progress, reset)


def _update(begin, progress, reset):
    device, errors = _load("device"), _load("errors")
    try:
        return _load("update").finish(device.get(), begin(), progress, reset)
    except MemoryError:
        raise errors.StateError("memory")
    except errors.OtaError as e:
        return _load("state.failure").answer(device.get(), e)


def fetch(url, file, progress=None):
    """Download url into file (a path, or an object with write); returns the bytes got."""
    d, update = _load("device").get(), _load("update")
    download = _load("transport.download")
    return update.finish(d, download.fetch(url, file, update.options(d)), progress)


def confirm():
    """The running image is good: keep it. True if it was on trial."""
    return _load("boot.trial").confirm()


def rollback(reset=True):
    """Return to the image before this one, at the next boot; reset: now."""
    _load("boot.trial").rollback(reset)


def restore(forget=False, reset=True):
    """Put the factory image back at the next boot; reset: now. forget: the application's keys
    in the KV too."""
    _load("boot.factory").request(_load("device").get(), forget)
    if reset:
        _load("boot.trial").reset()


def status():
    """What runs and why, as a dict: state, version, previous, tries, reason, code, ...

    state: "" before the first boot. checked: time.time() when the last manifest was verified
    and accepted, None if none was since the start. sequence: of the manifest accepted last.

    detail: text of what was raised, of the same failure as reason. boot: text of what this
    start met and went around, "" if nothing.
    """
    device, errors, state = _load("device"), _load("errors"), _load("state")
    d = device.get()
    d.feed()
    r = d.slots.load()
    known = r is not None
    r = r or _load("state.record").Record()
    # ota.state.accepted, whose code takes memory: of its channels, the last one comes first.
    kept = d.kv.get(d.slots.key + ".seq")
    return {
        "state": state.name(r.state) if known else "",
        "version": r.image.version,
        "previous": r.old.version,
        "new": r.new.version,
        "slot": r.active,
        "tries": r.tries,
        "reason": errors.word(r.reason),
        "code": r.reason,
        "detail": _load("state.detail").detail(d, r.reason) if r.reason else "",
        "boot": repr(device.error[0]) if device.error else "",
        "floor": r.floor,
        "sequence": int.from_bytes(kept[9:13], "little") if kept and kept[0] == 1 else r.sequence,
        "month": r.month,
        "checked": d.checked,
        "product": d.product,
        "channel": d.channel,
        "strategy": d.strategy_name,
    }


def store():
    """The KV store, for the application's own keys too (not those that start "ota.")."""
    return _load("device").get().kv


def partitions():
    """Print the partition table."""
    device = _load("device").get()
    for line in _load("partition.text").text(device.partitions):
        print(line)
