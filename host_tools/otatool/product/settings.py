"""Validates a configuration (layout.json) before a board uses it."""

import base64
import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from ota import config as device_config
from ota.crypto import Keys
from ota.errors import OtaError
from ota.partition import tobudos
from ota.source import schedule
from ota.transport import pins

from .. import files
from ..errors import ToolError
from ..terminal import values

_BEGIN = "-----BEGIN CERTIFICATE-----"
_PEM = re.compile(
    rb"-----BEGIN (?:X509 )?CERTIFICATE-----(.*?)-----END (?:X509 )?CERTIFICATE-----", re.DOTALL
)
_NO_CERTIFICATES = (
    (b"BEGIN TRUSTED CERTIFICATE", "a TRUSTED CERTIFICATE, which is OpenSSL's own form; convert"
     " it: openssl x509 -in FILE -out ca.pem"),
    (b"BEGIN PKCS7", "PKCS#7; convert it: openssl pkcs7 -print_certs -in FILE -out ca.pem"),
    (b"BEGIN CERTIFICATE REQUEST", "a request, not a certificate: have it signed first"),
)  # fmt: skip


def read(path: str | Path) -> dict:
    """The configuration in a JSON file. Raises ToolError."""
    try:
        found = json.loads(files.read(path))
    except ValueError as e:
        raise ToolError(f"{path}: not JSON: {e}") from e
    if not isinstance(found, dict):
        raise ToolError(f'{path}: a configuration must be an object, {{"key": value, ...}}')
    return found


def numbers(found: Any, name: str = "") -> Any:
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
    """What a board would reject, one sentence each.

    Args:
        config: all of it or a part; whether partitions fit the flash is not checked.
    """
    try:
        device_config.check_update(config)
        device_config.check_poll(config.get("poll", {}))
    except OtaError as e:
        # What follows takes the kinds of the values for granted.
        return [f"{e.args[1]}: unknown key, or a value of the wrong type (docs/config.md)"]
    return [m for check in (_names, _urls, _keys, _tls, _window) for m in check(config)]


def trusting(config: dict, data: bytes) -> dict:
    """A copy of config with certificates as "ca", whatever text a tool put around them.

    Args:
        data: a PEM file, with comments, a byte order mark or any line ends, or one certificate in
            DER.

    Raises:
        ToolError: one sentence for people.
    """
    http = config.get("http", {})
    if not isinstance(http, dict) or not isinstance(http.get("tls", {}), dict):
        raise ToolError("--ca: http and http.tls of the configuration must be objects")
    tls = {**http.get("tls", {}), "ca": certificates(data)}
    return {**config, "http": {**http, "tls": tls}}


def certificates(data: bytes) -> str:
    """The certificates in a PEM or DER file as PEM and nothing else: a board takes a text
    that begins otherwise for the name of a file. Raises ToolError."""
    for mark, words in _NO_CERTIFICATES:
        if mark in data:
            raise ToolError(f"--ca: {words}")
    found = [b"".join(body.split()) for body in _PEM.findall(data)]
    if data.count(b"-----BEGIN") and not found:
        raise ToolError("--ca: no PEM certificate found (-----BEGIN CERTIFICATE-----)")
    try:
        ders = [base64.b64decode(body, validate=True) for body in found] or [data]
        for der in ders:
            x509.load_der_x509_certificate(der)
    except ValueError as e:
        if not found:
            raise ToolError("--ca: no PEM certificate found (-----BEGIN CERTIFICATE-----)") from e
        raise ToolError("--ca: a damaged certificate") from e
    return "".join(
        f"{_BEGIN}\n"
        + "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
        + "\n-----END CERTIFICATE-----\n"
        for der in ders
    )


def slot_size(path: str | Path) -> tuple[str, str, int]:
    """(product, component, bytes of its smallest slot) by a layout.json and the table beside it;
    0 bytes where they do not say it. Raises ToolError."""
    layout = numbers(read(path))
    sizes = {}
    table = Path(path).with_name("ptbl.bin")
    if layout.get("table") and table.is_file():
        try:
            sizes = {n: size for n, _, _, size in tobudos.parse(files.read(table), 1).entries}
        except OtaError as e:
            raise ToolError(f"{table}: not a partition table: {e.reason}") from e
    try:
        for name, entry in layout.get("partitions", {}).items():
            sizes[name] = int(entry["size"])
        names = [n for n in layout.get("slots", ("active", "backup")) if n in sizes]
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise ToolError(f"{path}: its partitions are invalid (docs/config.md)") from e
    smallest = min((sizes[n] for n in names), default=0)
    return str(layout.get("product", "")), str(layout.get("component", "app")), smallest


def secrets(config: dict) -> bool:
    """True if a configuration holds what must stay secret: a shared key, or fields of requests,
    which are mostly tokens."""
    http = config.get("http")
    headers = http.get("headers") if isinstance(http, dict) else None
    return bool(headers) or any(
        isinstance(key, dict) and key.get("type") == "hmac" for key in config.get("keys") or ()
    )


def _names(config):
    for what in ("product", "component", "channel"):
        if isinstance(config.get(what), str):
            try:
                values.name(config[what], what)
            except ToolError as e:
                yield str(e)


def _urls(config):
    urls = config.get("url") or []
    for one in [*([urls] if isinstance(urls, str) else urls), config.get("package_url")]:
        if one:
            try:
                values.file_url(one)
            except ToolError as e:
                yield str(e)


def _keys(config):
    yield from _told("keys: each is the content of a NAME.pub.json", Keys, config.get("keys", ()))


def _tls(config):
    tls = config.get("http", {}).get("tls") or {}
    if not isinstance(tls, dict):
        return
    ca = tls.get("ca")
    if isinstance(ca, str) and "-----BEGIN" in ca and not ca.startswith(_BEGIN):
        yield f"http.tls.ca: the text must begin with {_BEGIN}, otherwise it names a file"
    if "pins" in tls:
        yield from _told("http.tls.pins: each is a SHA-256, 64 hex digits", pins.Pins, tls["pins"])
    secure = str(config.get("url") or "").lower().count("https:")
    if secure and not (tls.get("ca") or tls.get("pins")) and tls.get("verify") is not False:
        yield (
            "http.tls: an https address needs ca or pins: MicroPython has no trusted certificates "
            "of its own"
        )


def _window(config):
    yield from _told('poll.window: two times, ["01:30", "04:00"]',
                     schedule.closed_s, config.get("poll", {}), 0, bytes)  # fmt: skip


def _told(sentence: str, check: Callable, *args):
    try:
        check(*args)
    except (OtaError, ValueError):
        yield sentence
