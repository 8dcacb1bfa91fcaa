"""otatool provision: keys, layout, table, first image and a virtual board for a product."""

import argparse

from rich.console import Console
from rich.table import Table

from .. import files, provision, settings


def add(sub) -> None:
    """Declare the arguments."""
    p = sub.add_parser("provision", help="start a product: keys, layout, table, virtual board")
    p.add_argument("folder")
    p.add_argument("image", help="first application image (otatool image)")
    p.add_argument("--product", required=True)
    p.add_argument("--strategy", choices=provision.STRATEGIES, default="ab")
    p.add_argument("--version", default="0.1", help="of the first image, MAJOR.MINOR (0.1)")
    p.add_argument("--url", default="", help="of the manifest: http://HOST/manifest.ota")
    p.add_argument(
        "--config",
        metavar="FILE",
        help="JSON with further keys for layout.json, such as http and poll (docs/config.md)",
    )
    p.add_argument(
        "--ca", metavar="FILE", help="certificates that may sign the server's, PEM, for https"
    )
    p.add_argument("--size", type=_bytes, default=1 << 20, help="flash, bytes (1M)")
    p.add_argument("--sector", type=_bytes, default=4096, help="bytes (4K)")
    p.add_argument("--program", type=int, default=8, help="program unit, bytes (8)")
    p.add_argument("--factory", action="store_true", help="keep it as the factory image too")
    p.add_argument("--key-type", choices=("rsa", "hmac"), default="rsa")
    p.set_defaults(run=run)


def _bytes(text: str) -> int:
    scale = {"k": 1024, "m": 1 << 20}.get(text[-1:].lower())
    return int(text[:-1], 0) * scale if scale else int(text, 0)


def run(args: argparse.Namespace) -> None:
    """Provision and print the partitions."""
    config = settings.read(args.config) if args.config else {}
    if args.ca:
        config = settings.trusting(config, files.read(args.ca))
    product = provision.Product(
        args.product, args.strategy, files.read(args.image), args.version, args.url,
        args.size, args.sector, args.program, factory=args.factory, config=config,
    )  # fmt: skip
    done = provision.provision(args.folder, product, args.key_type)
    out = Console(soft_wrap=True)  # a command that is cut into lines cannot be copied
    table = Table(title=f"{args.product}, strategy {args.strategy}")
    for name in ("partition", "offset", "size"):
        table.add_column(name, justify="left" if name == "partition" else "right")
    for name, offset, size in done.partitions:
        table.add_row(name, f"{offset:#x}", str(size))
    out.print(table)
    for name in settings.unknown(config):
        out.print(f"{name}: no key of ours; boards pass it over", markup=False)
    out.print(f"signing key {done.key} (keep it secret), start it: otatool sim {done.flash}")
