"""Power-safe OTA updates for MicroPython: the public face of the library.

    import ota
    ota.check_and_update()      # ask, decide, download, verify, write, arm
    ota.confirm()               # the new image is good: keep it

Thin functions over update, trial and boot, which are imported when called: a device that
only boots never loads the network. What fails raises ota.errors.OtaError with a stable code;
of an update that only has to wait its result tells.
"""


def configure(config, watchdog=None):
    """Set the board up where no boot stage did: config is a dict or a JSON file's path.

    Settles the state as a boot does, but mounts nothing.
    """
    from . import boot, device

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
    from . import errors

    try:
        return _steps(url, options)
    except MemoryError:
        raise errors.StateError("memory")


def _steps(url, options):
    from . import clock, device, update
    from .source.static import Static

    d = device.get()
    url = url or d.setting("url")
    for name, value in update.options(d).items():
        options.setdefault(name, value)
    if isinstance(url, str):
        return update.run(d, Static(url, options, None, d.manifests), clock.now())
    from . import mirrors

    spread = d.config.get("spread_mirrors") and d.device_id
    return mirrors.run(d, mirrors.sources(url, options, spread, d.manifests), clock.now())


def install_url(url=None, reset=False, progress=None, downgrade=False):
    """Install the package at url, by default config "package_url".

    It must be newer than what runs, PolicyError "older" else; downgrade: a full package of an
    older version is taken, too. Returns and raises as above; "none": it runs already.
    """

    def begin():
        from . import device, update
        from .transport.resume import Resuming

        d = device.get()
        opener = Resuming(url or d.setting("package_url"), **update.options(d)).open
        return update.install(d, opener, None, downgrade)

    return _update(begin, progress, reset)


def install(reader, reset=False, progress=None, downgrade=False):
    """Install the package that reader (a file, a socket, anything with readinto) gives.

    Arguments and result as those of install_url().
    """

    def begin():
        from . import device, update
        from .transport.stream import opener

        return update.install(device.get(), opener(reader), None, downgrade)

    return _update(begin, progress, reset)


def _update(begin, progress, reset):
    from . import device, errors

    try:
        from . import update

        return update.finish(device.get(), begin(), progress, reset)
    except MemoryError:
        raise errors.StateError("memory")
    except errors.OtaError as e:
        return device.load("outcome").answer(device.get(), e)


def fetch(url, file, progress=None):
    """Download url into file (a path, or an object with write); returns the bytes got."""
    from . import device, update
    from .transport import download

    d = device.get()
    return update.finish(d, download.fetch(url, file, update.options(d)), progress)


def confirm():
    """The running image is good: keep it. True if it was on trial."""
    from . import trial

    return trial.confirm()


def rollback(reset=True):
    """Return to the image before this one, at the next boot; reset: now."""
    from . import trial

    trial.rollback(reset)


def restore(forget=False, reset=True):
    """Put the factory image back at the next boot; reset: now. forget: the application's keys
    in the KV too."""
    from . import device, factory, trial

    factory.request(device.get(), forget)
    if reset:
        trial.reset()


def status():
    """What runs and why, as a dict: state, version, previous, tries, reason, code, ...

    state: "" before the first boot. checked: time.time() when the last manifest was verified
    and accepted, None if none was since the start. sequence: of the manifest accepted last.
    """
    from . import device, errors, slots, state

    d = device.get()
    r = d.slots.load()
    known = r is not None
    r = r or slots.Record()
    # ota.accepted, whose code takes memory: of its channels, the last one comes first.
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
        "floor": r.floor,
        "sequence": int.from_bytes(kept[9:13], "little") if kept and kept[0] == 1 else r.sequence,
        "month": r.month,
        "checked": d.checked,
        "product": d.product,
        "channel": d.channel,
        "strategy": d.strategy,
    }


def store():
    """The KV store, for the application's own keys too (not those that start "ota.")."""
    from . import device

    return device.get().kv


def partitions():
    """Print the partition table."""
    from . import device
    from .partition.text import text

    for line in text(device.get().partitions):
        print(line)
