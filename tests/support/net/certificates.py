"""Certificates for the TLS tests, made when they are needed: a CA and what it signs."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)
_NAME = "localhost"


@dataclass
class Pki:
    """Paths: the CA (PEM and DER), and PEM files with certificate and key of servers."""

    ca: Path
    ca_der: Path
    other_ca: Path
    good: Path
    wrong_host: Path
    expired: Path
    future: Path
    self_signed: Path
    chain: Path
    no_chain: Path


def make(folder: Path) -> Pki:
    """Make them all in folder: for localhost and 127.0.0.1, P-256, valid for some days.

    chain: signed by an intermediate CA that is in the file; no_chain: it is left out.
    """
    ca, other = _Issuer("Test CA"), _Issuer("Another CA")
    pki = Pki(**{name: folder / f"{name}.pem" for name in Pki.__dataclass_fields__})
    pki.ca_der = folder / "ca.der"
    pki.ca.write_bytes(ca.certificate.public_bytes(serialization.Encoding.PEM))
    pki.ca_der.write_bytes(ca.certificate.public_bytes(serialization.Encoding.DER))
    pki.other_ca.write_bytes(other.certificate.public_bytes(serialization.Encoding.PEM))
    pki.good.write_bytes(ca.issue(_NAME))
    pki.wrong_host.write_bytes(ca.issue("other.example"))
    pki.expired.write_bytes(ca.issue(_NAME, -30, -2))
    pki.future.write_bytes(ca.issue(_NAME, 2, 30))
    pki.self_signed.write_bytes(_Issuer(_NAME).own())
    between = _Issuer("Intermediate CA", ca)
    leaf = between.issue(_NAME)
    pki.no_chain.write_bytes(leaf)
    pki.chain.write_bytes(leaf + between.certificate.public_bytes(serialization.Encoding.PEM))
    return pki


class _Issuer:
    def __init__(self, name, above=None):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = _subject(name)
        sign = (above or self)._sign
        self.certificate = sign(self.subject, self.key.public_key(), True, -2, 30, name)

    def issue(self, name, start=-2, end=30):
        """PEM of a server's certificate and key; start, end: days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._sign(_subject(name), key.public_key(), False, start, end, name)
        return _pem(made, key)

    def own(self):
        return _pem(self.certificate, self.key)

    def _sign(self, subject, public, is_ca, start, end, name):
        now = datetime.datetime.now(datetime.timezone.utc)
        names = [x509.DNSName(name.replace(" ", "-"))]
        if name == _NAME:
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start * _DAY)
            .not_valid_after(now + end * _DAY)
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def _subject(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate, key):
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
