"""Validates the configuration before use; docs/config.md describes its keys.

An unknown key or a value of the wrong type is reported by its own name, not by what it breaks
later. Unknown keys at the top level are allowed: they may be the application's.
"""

import sys

from .compat import const
from .errors import FlashError

# Keys and the types of their values, one letter each, see _kind(). Texts take no heap.
START = const(
    " product:s flash:d partitions:d table:d- version:s strategy:s component:s slots:l"
    " image_size:i- mount:s- main:s rescue:s- restore_pin:d tries:i confirm_ms:i timer:in wbits:i"
    " block:i "
)
UPDATE = const(
    " product:s channel:s url:sl- package_url:s- spread_mirrors:bi- device_id:s- keys:l http:d"
    " poll:d tries:i wbits:i block:i "
)
_HTTP = const(
    " connect_ms:i handshake_ms:i idle_ms:i rate:i rate_ms:i redirects:i line:i block:i fields:i"
    " retries:i pause_ms:i wait_ms:i total_ms:i poll_ms:i part:i headers:d- tls:d-o "
)
_TLS = const(" ca:sy- pins:l ntp:s- built:i verify:b ")
_POLL = const(" every_s:i jitter:i spread_s:i retry_s:i window:l- utc_offset_s:in ")


def check_start(config: dict) -> None:
    """Validate the keys that a start uses.

    Raises:
        FlashError: "config" and the key, such as "partitions.kv.size".
    """
    _check(config, START)
    for name in ("product", "flash"):
        if name not in config:
            raise FlashError("config", name)
    for name, entry in config["flash"].items():
        inside = "flash.%s." % name
        _expect(entry, "d", inside[:-1])
        what = entry.get("driver")
        _expect(what, "so", inside, "driver")
        if isinstance(what, str) and not _found(what):
            raise FlashError("config", inside + "driver")
    if config.get("table"):
        _check_place(config["table"], config, "table.", "i-")
    for name, entry in config.get("partitions", {}).items():
        _check_place(entry, config, "partitions.%s." % name)


def check_update(config: dict) -> None:
    """Validate the keys that an update uses.

    Raises:
        FlashError: "config" and the key, such as "http.part".
    """
    _check(config, UPDATE)
    url = config.get("url")
    for one in (url or ()) if _kind(url) == "l" else ():
        _expect(one, "s", "url")
    http = config.get("http", {})
    _check(http, _HTTP, "http.")
    headers = http.get("headers") or {}
    for name in headers:
        # A dict belongs to the address that is its key.
        _expect(headers[name], "d" if "://" in name else "s", "http.headers")
        for inner in headers[name] if "://" in name else ():
            _expect(headers[name][inner], "s", "http.headers")
    tls = http.get("tls")
    if isinstance(tls, dict):
        _check(tls, _TLS, "http.tls.")


def check_poll(poll: dict) -> None:
    """Validate config "poll".

    Raises:
        FlashError: "config" and the key, such as "poll.window".
    """
    _check(poll, _POLL, "poll.")


def _check_place(entry, config, inside, size="i"):
    _expect(entry, "d", inside[:-1])
    for name, kinds in (("flash", "s"), ("offset", "i"), ("size", size)):
        _expect(entry.get(name), kinds, inside, name)
    if entry["flash"] not in config["flash"]:
        raise FlashError("config", inside + "flash")


def _found(what):
    module, _, name = what.partition(":")
    try:
        __import__(module)
    except (ImportError, ValueError):
        return False
    return hasattr(sys.modules[module], name)


def _check(found, table, inside=""):
    _expect(found, "d", inside[:-1])
    for name in found:
        at = table.find(" %s:" % name)
        if at >= 0:
            at = table.find(":", at)
            _expect(found[name], table[at : table.find(" ", at)], inside, name)
        elif inside:
            raise FlashError("config", "%s%s" % (inside, name))


def _expect(value, kinds, inside, name=""):
    if _kind(value) not in kinds:
        raise FlashError("config", inside + name)


def _kind(value):
    if value is None:
        return "-"
    if value is True or value is False:
        return "b"
    if isinstance(value, int):
        return "i" if value >= 0 else "n"
    for kind, types in (("s", str), ("d", dict), ("l", (list, tuple)), ("y", (bytes, bytearray))):
        if isinstance(value, types):
            return kind
    return "o"
