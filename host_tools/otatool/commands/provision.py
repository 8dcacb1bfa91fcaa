"""otatool provision: keys, layout, table, first image and a virtual board for a product."""

import argparse

from rich.table import Table

from .. import files
from ..product import provision, ptbl, settings
from ..release import keys
from ..terminal import values
from ..terminal.console import console, row
from ..terminal.plain import warn
from .keygen import add_passphrase


def add(p: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    size = values.type_of(values.positive_size)
    p.add_argument("folder")
    p.add_argument("image", help="first application image (otatool image)")
    p.add_argument("--product", required=True, type=values.type_of(values.name, "product"))
    p.add_argument("--strategy", choices=provision.STRATEGIES, default="ab")
    p.add_argument(
        "--version",
        type=values.type_of(_version),
        default="0.1",
        help="of the first image, MAJOR.MINOR (0.1)",
    )
    p.add_argument("--url", default="", help="of the manifest: http://HOST/manifest.ota")
    p.add_argument(
        "--config",
        metavar="FILE",
        help="JSON with more keys for layout.json, such as http, poll and flash; addresses in the "
        "table count from flash.*.base (docs/config.md)",
    )
    p.add_argument(
        "--ca",
        metavar="FILE",
        help="CA certificates that the https server's certificate is checked with, PEM",
    )
    p.add_argument("--size", type=size, default=1 << 20, help="flash, bytes, such as 2M (1M)")
    p.add_argument("--sector", type=size, default=4096, help="bytes (4K)")
    p.add_argument("--program", type=size, default=8, help="program unit, bytes (8)")
    p.add_argument(
        "--slot-size",
        type=size,
        default=0,
        metavar="BYTES",
        help="size of each slot, in whole sectors (as large as the flash allows)",
    )
    p.add_argument(
        "--firmware-size",
        type=size,
        default=192 << 10,
        metavar="BYTES",
        help="space for the firmware at the start of the flash (192K)",
    )
    p.add_argument(
        "--fs-size", type=size, default=128 << 10, metavar="BYTES", help="root file system (128K)"
    )
    p.add_argument(
        "--factory", action="store_true", help="store the image as the factory image, too"
    )
    p.add_argument("--key-type", choices=keys.TYPES, default="rsa")
    add_passphrase(p)
    p.add_argument(
        "--force", action="store_true", help="replace the board in FOLDER, but not its key"
    )
    p.set_defaults(run=run)


def _version(text: str) -> str:
    ptbl.parse_version(text)
    return text


def run(args: argparse.Namespace) -> None:
    """Provision and print the partitions."""
    config = settings.read(args.config) if args.config else {}
    http = config.get("http")
    tls = http.get("tls") if isinstance(http, dict) else None
    text = tls.get("ca") if isinstance(tls, dict) else None
    if args.ca:
        config = settings.trusting(config, files.read(args.ca))
    elif isinstance(text, str) and "-----BEGIN" in text:  # else it is the name of a file
        config = settings.trusting(config, text.encode())
    product = provision.Product(
        args.product, args.strategy, files.read(args.image), args.version, args.url,
        args.size, args.sector, args.program, args.fs_size, args.factory, config,
        args.firmware_size, args.slot_size,
    )  # fmt: skip
    passphrase = ""
    if args.key_type == "rsa" or args.passphrase:
        passphrase = keys.new_passphrase(args.passphrase)
    done = provision.provision(args.folder, product, args.key_type, args.force, passphrase)
    out = console()
    table = Table(title=f"{args.product}, strategy {args.strategy}")
    for name in ("partition", "offset", "size"):
        table.add_column(name, justify="left" if name == "partition" else "right")
    for name, offset, size in done.partitions:
        row(table, name, f"{offset:#x}", str(size))
    out.print(table)
    for name in settings.unknown(config):
        out.print(f"{name}: unknown key, ignored by boards")
    out.print(f"signing key {done.key} (keep it secret)", end="")
    out.print(f", start it: otatool sim {done.flash}" if done.flash.exists() else "")
    warn(*done.warnings)
