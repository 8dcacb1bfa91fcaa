"""CA files as tools write them, taken apart by the device's own code, on both interpreters."""

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import certificates
import pytest
from ota.errors import TransportError
from ota.transport import tls

_MICROPYTHON = Path(sys.executable).parent / "micropython"
_LIB = Path(__file__).parents[2] / "lib"
_PROGRAM = """
import sys
sys.path.insert(0, %r)
import hashlib, json
from binascii import hexlify
from ota.errors import TransportError
from ota.transport import tls
for path in json.load(open(%r)):
    found = []
    for ca in (path, open(path, "rb").read()):
        try:
            found.append([str(hexlify(hashlib.sha256(c).digest()), "ascii")
                          for c in tls.certificates(ca)])
        except TransportError as e:
            found.append([a for a in e.args if isinstance(a, str)])
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return certificates.make(tmp_path_factory.mktemp("pki"))


def _der(pem):
    return base64.b64decode("".join(pem.decode().split("-----")[2].split()))


def _forms(pki):
    ours, other = pki.ca.read_bytes(), pki.other_ca.read_bytes()
    one, two = _der(ours), _der(other)
    line = base64.b64encode(one)
    mark = b"-----BEGIN CERTIFICATE-----"
    trusted = ours.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE")
    return {
        "plain": (ours, [one]),
        "text before": (b"Certificate:\n    Data: -----\n" + ours, [one]),
        "comment before": (b"##\n## Bundle\n##\n\nLamp CA\n=======\n" + ours, [one]),
        "blank line before": (b"\n" + ours, [one]),
        "BOM": (b"\xef\xbb\xbf" + ours, [one]),
        "CRLF": (ours.replace(b"\n", b"\r\n"), [one]),
        "CR": (ours.replace(b"\n", b"\r"), [one]),
        "comment between": (other + b"\n# Lamp CA\n" + ours, [two, one]),
        "text behind": (ours + b"and so on\n", [one]),
        "no newline at the end": (ours.rstrip(), [one]),
        "one line": (mark + b"\n" + line + b"\n" + mark.replace(b"BEGIN", b"END"), [one]),
        "indented": (b"  " + ours.replace(b"\n", b"\n  "), [one]),
        "DER": (one, [one]),
        "trusted and another": (trusted + other, [two]),
        "trusted": (trusted, ["tls", "ca", "TRUSTED CERTIFICATE"]),
        "a key": (b"-----BEGIN PRIVATE KEY-----\nAAAA\n", ["tls", "ca"]),
        "a page": (b"<html>", ["tls", "ca"]),
        "half": (ours[:200], []),
        "UTF-16": (ours.decode().encode("utf-16"), ["tls", "ca"]),
    }  # fmt: skip


def test_pem_is_found_anywhere(pki, tmp_path):
    forms = _forms(pki)
    paths = []
    for n, (data, _) in enumerate(forms.values()):
        paths.append(str(tmp_path / f"{n}.pem"))
        Path(paths[-1]).write_bytes(data)
    (tmp_path / "list.json").write_text(json.dumps(paths))
    program = _PROGRAM % (str(_LIB), str(tmp_path / "list.json"))
    for interpreter in (sys.executable, _MICROPYTHON):
        done = subprocess.run([interpreter, "-c", program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for (name, (_, want)), line in zip(forms.items(), done.stdout.splitlines(), strict=True):
            want = [hashlib.sha256(c).hexdigest() if isinstance(c, bytes) else c for c in want]
            assert json.loads(line) == [want, want], (name, interpreter)


def test_a_text_of_the_configuration(pki):
    pem = pki.ca.read_text()
    for text in (
        pem,
        "\ufeff# Lamp CA\r\n\r\n" + pem.replace("\n", "\r\n"),
        "Name: \u00e9\n" + pem,
    ):
        assert tls.certificates(text) == [_der(pki.ca.read_bytes())]
    with pytest.raises(TransportError) as got:
        tls.certificates("no certificate\n")
    assert got.value.args[:2] == ("tls", "ca")
    with pytest.raises(TransportError) as got:
        tls.certificates(pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"))
    assert got.value.args == ("tls", "ca", "TRUSTED CERTIFICATE")
