"""TLS contexts that verify by default; imported only when an https address is opened.

MicroPython has no CA certificates of its own and its ssl module verifies nothing by default, so
a context without a CA is rejected here instead of silently accepting every server.
"""

import binascii
import sys

from .. import clock
from ..errors import TransportError
from ..modules import load

if False:  # for type checkers
    from ota_hints import Any, Context

_CPYTHON = sys.implementation.name == "cpython"

try:
    if _CPYTHON:
        import ssl as _tls

        from ..cpython import Pinned
    else:
        import tls as _tls  # type: ignore[no-redef]
except ImportError:
    _tls = None  # type: ignore[assignment]

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_END = b"-----END CERTIFICATE-----"
_TRUSTED = b"-----BEGIN TRUSTED CERTIFICATE-----"


def context(config: dict | None = None) -> "Context":
    """Make an SSLContext for a client.

    Args:
        config: dict or None. "ca": trusted certificates as PEM, DER bytes, or a file name.
            "pins": accepted keys (pins.Pins), with "ca" or alone; alone, dates and names are not
            checked. "built": a lower bound for the current time (Unix seconds), and "ntp": a time
            server, both as for clock.ensure(), because certificates have dates. "verify": only
            False disables verification. CPython without "ca" and "pins" trusts the system's CAs.
    Raises:
        TransportError: "tls" if there is nothing to verify with; "tls", "clock".
    """
    config = config or {}
    try:
        c = (Pinned if _CPYTHON else _tls.SSLContext)(_tls.PROTOCOL_TLS_CLIENT)
        if config.get("verify", True) is False:
            if _CPYTHON:
                c.check_hostname = False
            c.verify_mode = _tls.CERT_NONE
            return c
        c.verify_mode = _tls.CERT_REQUIRED
        ca = config.get("ca")
        if "pins" in config:
            # Late: few boards have pins.
            c.verify_callback = load("transport.pins").Pins(config["pins"]).check  # type: ignore[attr-defined]
            if ca is None:
                # With "optional" the callback alone decides; it is called for every chain.
                if _CPYTHON:
                    c.check_hostname = False
                c.verify_mode = _tls.CERT_NONE if _CPYTHON else _tls.CERT_OPTIONAL
                return c
        if ca is None and _CPYTHON:
            c.load_default_certs()
            return c
        ntp = config.get("ntp")
        # Without a time server the dates are checked against whatever the clock says.
        if not clock.ensure(config.get("built", 0), ntp) and ntp:
            raise TransportError("tls", "clock")
        found = certificates(ca)
        if not found:
            raise TransportError("tls", "ca")
        for der in found:
            if _CPYTHON:
                c.load_verify_locations(cadata=der)
            else:
                c.load_verify_locations(der)
        return c
    except (OSError, ValueError, AttributeError) as e:
        # AttributeError: this port's TLS, or the lack of it, cannot verify.
        raise TransportError("tls", e)


def certificates(ca: "Any") -> list:
    """The certificates in "ca" of context() as a list of DER bytes; empty without it.

    PEM is found anywhere in a text or file: comments, CR LF and a byte order mark around the
    certificates are ignored.

    Raises:
        TransportError: "tls", "ca" for a file that cannot be read (and the cause), or without PEM
            or DER (and "TRUSTED CERTIFICATE" if it is one: use openssl x509 without -trustout).
    """
    # DER works in every build; PEM is unpacked here because some builds cannot.
    if not ca:
        return []
    if isinstance(ca, str) and "-----BEGIN" in ca:
        ca = ca.encode()
    if isinstance(ca, str):
        try:
            with open(ca, "rb") as f:
                ca = f.read()
        except (OSError, ValueError) as e:
            raise TransportError("tls", "ca", e)
    if _BEGIN not in ca:
        if _TRUSTED in ca:
            raise TransportError("tls", "ca", "TRUSTED CERTIFICATE")
        if ca[:1] != b"\x30":  # what every certificate in DER begins with
            raise TransportError("tls", "ca")
        return [ca]
    out: list = []
    end = 0
    while True:
        # Positions instead of slices: a bundle may have many KB.
        start = ca.find(_BEGIN, end)
        end = ca.find(_END, start)
        if start < 0 or end < 0:
            return out
        try:
            out.append(binascii.a2b_base64(ca[start + len(_BEGIN) : end]))
        except ValueError as e:
            raise TransportError("tls", "ca", e)
