"""otatool keygen: make a signing key."""

import argparse

from rich.console import Console

from .. import keys


def add(sub) -> None:
    """Declare the command."""
    p = sub.add_parser(
        "keygen",
        help="make a signing key",
        description="Write NAME.pem (or NAME.key), the private half, and NAME.pub.json, which"
        " goes into the firmware.",
    )
    p.add_argument("--type", choices=keys.TYPES, default="rsa")
    p.add_argument("--bits", type=int, choices=keys.BITS, default=3072, help="of an RSA key")
    p.add_argument("--force", action="store_true", help="replace an existing key")
    p.add_argument("name", metavar="NAME")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the key and say where it is."""
    key = keys.generate(args.type, args.bits)
    private, public = keys.write(key, args.name, args.force)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"key {key.id.hex()} ({key.type})", markup=False)
    console.print(f"private: {private}  keep it off the servers, and keep a copy", markup=False)
    console.print(f"device:  {public}", markup=False)
    return 0
