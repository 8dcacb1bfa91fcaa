"""otatool keygen: make a signing key."""

import argparse

from ..release import keys
from ..terminal.plain import say, warn


def add(p: argparse.ArgumentParser) -> None:
    """Declare the command."""
    p.description = (
        "Write NAME.pem (or NAME.key), the private key, and NAME.pub.json, the public key,"
        " which goes into the firmware."
    )
    p.add_argument("--type", choices=keys.TYPES, default="rsa")
    p.add_argument("--bits", type=int, choices=keys.BITS, default=3072, help="of an RSA key")
    add_passphrase(p)
    p.add_argument("--force", action="store_true", help="replace an existing key")
    p.add_argument("name", metavar="NAME")
    p.set_defaults(run=run)


def add_passphrase(p: argparse.ArgumentParser) -> None:
    """Declare --passphrase of a command that makes a key."""
    p.add_argument(
        "--passphrase",
        action="store_true",
        help=f"encrypt the private key: asks for a passphrase, or takes {keys.PASSPHRASE} from "
        "the environment, as later commands do",
    )


def run(args: argparse.Namespace) -> int:
    """Make the key and say where it is."""
    name = args.name
    for suffix in (".pub.json", ".pem", ".key"):
        name = name.removesuffix(suffix)
    passphrase = ""
    if args.type == "rsa" or args.passphrase:
        passphrase = keys.new_passphrase(args.passphrase)
    key = keys.generate(args.type, args.bits)
    private, public = keys.write(key, name, args.force, passphrase)
    say(
        f"key {key.id.hex()} ({key.type})",
        f"private: {private}  keep it off servers, and keep a backup",
        f"device:  {public}",
    )
    if key.type == "hmac":
        warn(f"{public} contains the secret itself: anyone who reads it, or a device, can sign")
    return 0
