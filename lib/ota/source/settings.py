"""What the configuration says about requests."""

from .. import clock
from ..modules import load, phase

if False:  # for type checkers
    from ota_hints import Device


def options(device: "Device") -> dict:
    """Keyword arguments of transport.resume.Resuming, from the configuration.

    "headers" are only sent to the server in "home": that of "url" (the first of several), else
    of "package_url". "built" of "tls" is raised to the issue date of the newest manifest accepted.

    Raises:
        FlashError: "config" for an unknown key or a value of the wrong type.
    """
    load("config").check_update(device.config)
    phase("config")
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
