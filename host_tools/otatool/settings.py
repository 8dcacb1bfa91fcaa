"""What is wrong with a configuration (layout.json), found before a board finds it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from ota import config as device_config
from ota import schedule
from ota.crypto import Keys
from ota.errors import OtaError
from ota.transport import pins, url

from . import files
from .errors import ToolError


def read(path: str | Path) -> dict:
    """The configuration in a JSON file. Raises ToolError."""
    try:
        found = json.loads(files.read(path))
    except ValueError as e:
        raise ToolError(f"{path}: not JSON: {e}") from e
    if not isinstance(found, dict):
        raise ToolError(f'{path}: a configuration is an object, {{"key": value, ...}}')
    return found


def numbers(found, name: str = ""):
    """A copy of found, where addresses and sizes that are texts, such as "0x30000", are numbers:
    JSON has no hexadecimal ones, and a board takes no texts. Raises ToolError."""
    if isinstance(found, dict):
        return {k: numbers(v, k) for k, v in found.items()}
    if name in ("offset", "size", "base") and isinstance(found, str):
        try:
            return int(found, 0)
        except ValueError as e:
            raise ToolError(f"{name} {found!r}: a number, or a text such as 0x30000") from e
    return found


def unknown(config: dict) -> list[str]:
    """Keys of the top level that a board passes over: mistyped, or the application's own."""
    known = re.findall(r" (\w+):", device_config.START + device_config.UPDATE)
    return [name for name in config if name not in known]


def mistakes(config: dict) -> list[str]:
    """What a board would refuse, a sentence each; none: an empty list.

    config: all of it or a part; whether partitions fit the flash is not looked at.
    """
    try:
        device_config.check_update(config)
        device_config.check_poll(config.get("poll", {}))
    except OtaError as e:
        # What follows takes the kinds of the values for granted.
        return [f"{e.args[1]}: no such key, or a value of a wrong kind (docs/config.md)"]
    return [m for check in (_channel, _urls, _keys, _tls, _window) for m in check(config)]


def trusting(config: dict, pem: bytes) -> dict:
    """A copy of config with the certificates of a PEM file as "ca". Raises ToolError."""
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise ToolError("--ca: no certificate in PEM form there (-----BEGIN CERTIFICATE-----)")
    http = config.get("http", {})
    if not isinstance(http, dict) or not isinstance(http.get("tls", {}), dict):
        raise ToolError("--ca: http and http.tls of the configuration are objects")
    tls = {**http.get("tls", {}), "ca": pem.decode("latin-1")}
    return {**config, "http": {**http, "tls": tls}}


def _channel(config):
    if not re.fullmatch(r"[!-~]{0,32}", config.get("channel") or ""):
        yield "channel: 1 to 32 printable characters without spaces, as publish --channel has it"


def _urls(config):
    urls = config.get("url") or []
    for one in [*([urls] if isinstance(urls, str) else urls), config.get("package_url")]:
        if one:
            yield from _told(f"{one}: an address is http://HOST/PATH or https://HOST/PATH",
                             url.parse, one)  # fmt: skip


def _keys(config):
    yield from _told("keys: each is the content of a NAME.pub.json", Keys, config.get("keys", ()))


def _tls(config):
    tls = config.get("http", {}).get("tls") or {}
    if not isinstance(tls, dict):
        return
    if "pins" in tls:
        yield from _told("http.tls.pins: each is a SHA-256, 64 hex digits", pins.Pins, tls["pins"])
    secure = str(config.get("url") or "").lower().count("https:")
    if secure and not (tls.get("ca") or tls.get("pins")) and tls.get("verify") is not False:
        yield "http.tls: an https address needs ca or pins, MicroPython trusts nobody by itself"


def _window(config):
    yield from _told('poll.window: two times, ["01:30", "04:00"]',
                     schedule.closed_s, config.get("poll", {}), 0, bytes)  # fmt: skip


def _told(sentence: str, check: Callable, *args):
    try:
        check(*args)
    except (OtaError, ValueError):
        yield sentence
