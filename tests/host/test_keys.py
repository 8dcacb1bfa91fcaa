import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ota.crypto import Keys
from ota.errors import SignatureError
from otatool import cli
from otatool.errors import ToolError
from otatool.release import keys

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made():
    return {bits: keys.generate("rsa", bits) for bits in (2048, 3072)} | {
        "hmac": keys.generate("hmac")
    }


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*args):
        try:
            return cli.main(["keygen", *args])
        except SystemExit as e:
            return e.code

    return call


@pytest.mark.parametrize(("kind", "length"), [(2048, 256), (3072, 384), ("hmac", 32)])
def test_device_accepts_what_a_key_signs(made, kind, length):
    key = made[kind]
    trusted = Keys([json.loads(key.public_file())])
    assert key.signature_length == length
    for message in (b"", b"header", bytes(5000)):
        signature = key.sign(message)
        assert len(signature) == length
        trusted.verify(key.id, message, signature)
        with pytest.raises(SignatureError):
            trusted.verify(key.id, message + b"x", signature)


def test_keys_differ(made):
    assert len({key.id for key in made.values()}) == 3
    with pytest.raises(SignatureError, match="key"):
        Keys([made["hmac"].public]).verify(made[2048].id, b"", b"")


@pytest.mark.parametrize("kind", [2048, "hmac"])
def test_micropython_accepts_what_a_key_signs(made, kind, tmp_path):
    key = made[kind]
    script = tmp_path / "check.py"
    script.write_text(
        f"""
import sys
sys.path.insert(0, {str(_ROOT / "lib")!r})
from ota.crypto import Keys
Keys([{key.public!r}]).verify({key.id!r}, b"message", {key.sign(b"message")!r})
print("accepted")
"""
    )
    interpreter = Path(sys.executable).parent / "micropython"
    done = subprocess.run([interpreter, script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "accepted\n", done.stderr + done.stdout


@pytest.mark.parametrize(("options", "suffix"), [([], ".pem"), (["--type", "hmac"], ".key")])
def test_keygen_writes_both_files_and_never_replaces_them(run, capfd, options, suffix):
    options = ["--bits", "2048", *options]
    assert run(*options, "first") == 0
    private, public = Path("first" + suffix), Path("first.pub.json")
    assert sorted(Path().iterdir()) == sorted([private, public])
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    key = keys.load(private)
    entry = json.loads(public.read_text())
    assert entry.pop("id") == key.id.hex()
    assert entry == key.public
    before = private.read_bytes(), public.read_bytes()
    assert run(*options, "first") == 1
    assert "exists" in capfd.readouterr().err
    private.rename("elsewhere")
    assert run(*options, "first") == 1
    assert (Path("elsewhere").read_bytes(), public.read_bytes()) == before
    assert run("--force", *options, "first") == 0
    assert keys.load(private).id != key.id


def test_shared_secrets_are_private_in_both_files(run):
    assert run("--type", "hmac", "shared") == 0
    assert stat.S_IMODE(Path("shared.pub.json").stat().st_mode) == 0o600


def test_misuse(run, capfd):
    assert run("--bits", "1024", "x") == 2
    assert run("--type", "dsa", "x") == 2
    assert run() == 2
    assert run("no/such/folder/x", "--bits", "2048") == 1
    assert "check the folder" in capfd.readouterr().err
    with pytest.raises(ToolError, match="2048"):
        keys.generate("rsa", 1024)
    with pytest.raises(ToolError, match="rsa, hmac"):
        keys.generate("dsa")
    assert not list(Path().iterdir())


def _pem(private, encryption=None):
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )


def test_files_that_are_no_signing_key_are_refused_in_words(made, tmp_path):
    rsa = serialization.load_pem_private_key(made[2048].secret_file(), None)
    for content, message in (
        (b"", "not a private key"),
        (b"nonsense", "not a private key"),
        (b"{}", "not a key file"),
        (b"{", "not a key file"),
        (b'{"type": "hmac", "secret": 5}', "not a key file"),
        (b'{"type": "hmac", "secret": "00"}', "16 to 256"),
        (made[2048].public_file(), "public key"),
        (_pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
        (_pem(rsa, serialization.BestAvailableEncryption(b"word")), "encrypted"),
    ):
        path = tmp_path / "key"
        path.write_bytes(content)
        with pytest.raises(ToolError, match=message):
            keys.load(path)
    with pytest.raises(ToolError, match="No such file"):
        keys.load(tmp_path / "none")


def test_openssl_pem_of_the_traditional_form_loads(made, tmp_path):
    rsa = serialization.load_pem_private_key(made[2048].secret_file(), None)
    path = tmp_path / "key.pem"
    path.write_bytes(
        rsa.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    assert keys.load(path).id == made[2048].id


def test_a_passphrase_guards_the_private_half(run, capfd, monkeypatch):
    monkeypatch.setenv(keys.PASSPHRASE, "open sesame")
    assert run("--bits", "2048", "--passphrase", "lamp.pem") == 0  # a suffix is not doubled
    assert b"ENCRYPTED" in Path("lamp.pem").read_bytes()
    key = keys.load("lamp.pem")
    assert json.loads(Path("lamp.pub.json").read_text())["id"] == key.id.hex()
    monkeypatch.setenv(keys.PASSPHRASE, "wrong")
    with pytest.raises(ToolError, match="the passphrase is wrong"):
        keys.load("lamp.pem")
    monkeypatch.delenv(keys.PASSPHRASE)
    monkeypatch.setattr("sys.stdin", open("/dev/null"))
    with pytest.raises(ToolError, match=keys.PASSPHRASE):
        keys.load("lamp.pem")
    assert run("--bits", "2048", "--passphrase", "other") == 1
    assert "no terminal to ask" in capfd.readouterr().err
    assert run("--type", "hmac", "--passphrase", "shared") == 1
    monkeypatch.setenv(keys.PASSPHRASE, "x")
    assert run("--type", "hmac", "--passphrase", "shared") == 1
    assert "every device holds it" in capfd.readouterr().err
    assert run("--type", "hmac", "shared") == 0  # the variable alone asks for nothing
    assert "can sign" in capfd.readouterr().err


def test_a_passphrase_is_asked_for_on_a_terminal(run, monkeypatch):
    class Terminal:
        def isatty(self):
            return True

    typed = iter(["word", "other", "", "word", "word", "wrong", "word"])
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    monkeypatch.delenv(keys.PASSPHRASE, raising=False)
    for status in (1, 1, 0):  # two that differ, none, the same twice
        assert run("--bits", "2048", "--passphrase", "lamp") == status
        assert Path("lamp.pem").exists() == (status == 0)
    with pytest.raises(ToolError, match="the passphrase is wrong"):
        keys.load("lamp.pem")
    assert keys.load("lamp.pem").type == "rsa"


@pytest.mark.parametrize(
    ("label", "word"),
    [
        ("PUBLIC KEY", "public half"),
        ("RSA PUBLIC KEY", "public half"),
        ("CERTIFICATE", "certificate"),
        ("OPENSSH PRIVATE KEY", "ssh-keygen"),
    ],
)
def test_other_pem_files_say_what_they_are(tmp_path, label, word):
    path = tmp_path / "x.pem"
    path.write_text(f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
    with pytest.raises(ToolError, match=word):
        keys.load(path)


def test_keys_that_are_malformed_deep_down(tmp_path):
    path = tmp_path / "x.key"
    for content in (b"{" * 100_000, b'{"a":' * 50_000, b'{"type":["hmac"]}', b'{"type": "hmac"}'):
        path.write_bytes(content)
        with pytest.raises(ToolError, match="not a key file"):
            keys.load(path)
