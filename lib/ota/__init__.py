"""Power-safe OTA updates for MicroPython: the public face of the library.

    import ota
    ota.check_and_update()      # ask, decide, download, verify, write, arm
    ota.confirm()               # the new image is good: keep it

Thin functions over update, boot.trial and boot, which are imported when called: a device that
only boots never loads the network. Failures raise ota.errors.OtaError with a stable code; an
update that only has to wait returns "later". _load() never imports a module of the application
(modules.py).
"""

from .modules import load as _load

if False:  # for type checkers
    from ota_hints import Any, Progress, Reader, Steps, Store, Watchdog


def configure(config: dict | str, watchdog: "Watchdog | None" = None) -> None:
    """Set the board up where no boot stage did; settle the state as a boot does, mount nothing.

    Args:
        config: dict, or path of a JSON file (docs/config.md).
        watchdog: object with feed(), such as machine.WDT.
    Raises:
        FlashError: "config" for an invalid configuration.
    """
    device, boot = _load("device"), _load("boot")
    device.current = device.Device(config, watchdog)
    boot.settle(device.current)


def check_and_update(
    progress: "Progress | None" = None, reset: bool = False, url: str | list | None = None
) -> dict:
    """Ask the server for an update and install it; the next boot runs it.

    Args:
        progress: progress(stage, done, total) is called at each step; sizes in bytes.
        reset: restart the board when the update is ready.
        url: address of the manifest, or a list of mirrors; default: config "url".
    Returns:
        dict with "result" and "version", the new one or the one that runs:
        "none"   there is no update
        "ready"  the next boot runs it; "size" of the package in bytes, "delta"
        "later"  the network or the server failed, ask again; "reason", "error"
        "trial"  the running image is not confirmed yet; no server was asked
    Raises:
        OtaError: any other failure.
    """
    return _update(lambda: steps(url), progress, reset)


def steps(url: str | list | None = None, **options: "Any") -> "Steps":
    """The generator under check_and_update(), for a loop of your own (or ota.aio).

    Args:
        url: as there.
        options: of transport.resume.Resuming, in place of those of config "http".
    Returns:
        generator of (stage, done, total), or None while it waits.
    Raises:
        OtaError: network failures too, as TransportError.
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
    for name, value in _load("source.settings").options(d).items():
        options.setdefault(name, value)
    if isinstance(url, str):
        return update.run(d, Static(url, options, None, d.manifests), clock.now())
    mirrors = _load("source.mirrors")
    spread = d.config.get("spread_mirrors") and d.device_id
    return mirrors.run(d, mirrors.sources(url, options, spread, d.manifests), clock.now())


def install_url(
    url: str | None = None,
    reset: bool = False,
    progress: "Progress | None" = None,
    downgrade: bool = False,
) -> dict:
    """Install the package at `url`; the next boot runs it.

    Args:
        url: address of the package; default: config "package_url".
        reset, progress: as in check_and_update().
        downgrade: also install a full package of an older version.
    Returns:
        As check_and_update(); "none" if this image runs already.
    Raises:
        PolicyError: "older" if it is not newer than the running version.
        OtaError: any other failure.
    """

    def begin():
        d, update = _load("device").get(), _load("update")
        given = url or d.setting("package_url")
        opener = (
            _load("transport.resume").Resuming(given, **_load("source.settings").options(d)).open
        )
        return update.install(d, opener, None, downgrade)

    return _update(begin, progress, reset)


def install(
    reader: "Reader",
    reset: bool = False,
    progress: "Progress | None" = None,
    downgrade: bool = False,
) -> dict:
    """Install a package read from `reader`: a file, a socket, any object with readinto().

    Other arguments, result and errors as install_url().
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
        if e.reason == "memory":
            raise  # there may be none to load more
        return _load("state.failure").answer(device.get(), e)


def fetch(url: str, file: "Any", progress: "Progress | None" = None) -> int:
    """Download `url` into `file`, a path or an object with write(); return the size in bytes.

    Raises:
        TransportError: the download failed.
    """
    d, update = _load("device").get(), _load("update")
    options = _load("source.settings").options(d)
    steps = _load("transport.download").fetch(url, file, options)
    return update.finish(d, steps, progress)


def confirm() -> bool:
    """Keep the running image: it works. Return True if it was on trial."""
    return _load("boot.trial").confirm()


def rollback(reset: bool = True) -> None:
    """Return to the previous image at the next boot.

    Args:
        reset: restart the board now.
    Raises:
        StateError: "none" if there is no previous image, "state" during an update.
    """
    _load("boot.trial").rollback(reset)


def restore(forget: bool = False, reset: bool = True) -> None:
    """Restore the factory image at the next boot.

    Args:
        forget: also delete the application's keys from the KV store.
        reset: restart the board now.
    Raises:
        StateError: "none" if there is no factory image.
        OtaError: the factory image is damaged or not for this board.
    """
    _load("boot.factory").request(_load("device").get(), forget)
    if reset:
        _load("boot.trial").reset()


def status() -> dict:
    """Report which image runs and why.

    Returns:
        dict with, among others (docs/api.md):
        "state"     name of the state, "" before the first boot
        "reason"    word of the last failure or rollback, "" if none; "code" its number
        "detail"    text of the exception behind "reason"
        "boot"      text of the error that this start worked around, "" if none
        "checked"   time.time() when a manifest was last accepted, None if not since the start
        "sequence"  of the last accepted manifest
    """
    device, errors, state = _load("device"), _load("errors"), _load("state")
    d = device.get()
    d.feed()
    r = d.slots.load()
    known = r is not None
    r = r or _load("state.record").Record()
    # Read without ota.state.accepted, whose code takes memory; the newest channel comes first.
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


def store() -> "Store":
    """The KV store; the application may keep keys there that do not start with "ota."."""
    return _load("device").get().kv


def partitions() -> None:
    """Print the partition table."""
    device = _load("device").get()
    for line in _load("partition.text").text(device.partitions):
        print(line)
