"""TLS contexts that verify by default; imported only when an https address is opened.

MicroPython has no CA certificates of its own and its ssl module verifies nothing unless
told to, so a context without a CA is refused here instead of being quietly open.
"""

import binascii
import sys

from .. import clock
from ..apart import load
from ..errors import TransportError

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


def context(config=None):
    """An SSLContext for a client from configuration, a dict or None.

    "ca": certificates that may sign the server's: PEM, or bytes in DER, or a file's name;
    "pins": the server's key must be one of these (pins.Pins), beside "ca" or alone: then
    neither dates nor names matter; "built": seconds since 1970 that have surely passed, and
    "ntp": a time server, both as clock.ensure() takes them, because certificates have dates;
    "verify": only False switches verification off. CPython without "ca" and "pins" trusts what
    the system trusts.
    Raises TransportError "tls" if there is nothing to verify with, "tls", "clock".
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
            c.verify_callback = load("transport.pins").Pins(config["pins"]).check
            if ca is None:
                # With "optional" the callback alone decides; it is asked of every chain.
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
        certificates = _certificates(ca)
        if not certificates:
            raise TransportError("tls", "ca")
        for der in certificates:
            if _CPYTHON:
                c.load_verify_locations(cadata=der)
            else:
                c.load_verify_locations(der)
        return c
    except (OSError, ValueError, AttributeError) as e:
        # AttributeError: this port's TLS, or the lack of it, cannot verify.
        raise TransportError("tls", e)


def _certificates(ca) -> list:
    # DER works in every build; PEM is unpacked here because some builds cannot.
    if not ca:
        return []
    if isinstance(ca, str) and ca.startswith("-----BEGIN"):
        ca = ca.encode()
    if isinstance(ca, str):
        try:
            with open(ca, "rb") as f:
                ca = f.read()
        except OSError as e:
            raise TransportError("tls", "ca", e)
    if _BEGIN not in ca:
        return [ca]
    out: list = []
    while True:
        start = ca.find(_BEGIN)
        end = ca.find(_END, start)
        if start < 0 or end < 0:
            return out
        out.append(binascii.a2b_base64(ca[start + len(_BEGIN) : end]))
        ca = ca[end + len(_END) :]
