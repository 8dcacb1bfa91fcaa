"""What build and publish share: the options of a release, its keys, its image."""

import argparse

from .. import files
from ..errors import ToolError
from ..image.checks import refuse_others
from ..release import keys, package
from ..terminal import values
from ..terminal.plain import warn

_KEYS = 4  # lines of signatures that a device reads in a manifest (docs/format.md)


def add_release(p: argparse.ArgumentParser, version: str, floor: str, in_place: str = "") -> None:
    """Declare the options of a release and of the packages that are made of it.

    Args:
        version: what --help says about --version behind "dotted integers".
        floor: what --help says the floor is without --floor.
        in_place: option that --spare goes with, if it needs one.
    """
    p.add_argument("--product", required=True, type=values.type_of(values.name, "product"))
    p.add_argument(
        "--version",
        required=True,
        type=values.type_of(values.version),
        help="dotted integers" + version,
    )
    p.add_argument(
        "--key",
        action="append",
        required=True,
        help=f"private key; may be repeated. An encrypted one asks for its passphrase, or takes "
        f"it from {keys.PASSPHRASE} in the environment",
    )
    p.add_argument(
        "--target",
        type=values.type_of(values.name, "target"),
        default="app",
        help="what the image is for (app)",
    )
    p.add_argument(
        "--floor",
        type=values.type_of(values.floor),
        help=f"security version of this image, below which devices cannot go back ({floor})",
    )
    p.add_argument(
        "--block",
        type=values.type_of(values.block),
        default=package.BLOCK,
        help="output block, bytes (4096)",
    )
    p.add_argument(
        "--spare",
        type=values.type_of(values.size),
        default=0,
        help=f"{in_place}flash in the OTA partition of one-slot devices beyond the package, the "
        "reverse package and one block, such as 16k (0)",
    )
    p.add_argument(
        "--wbits",
        type=int,
        choices=package.WINDOWS,
        default=package.WINDOWS[-1],
        help="largest deflate window, log2 of bytes: 10 takes 1 KB of a device's RAM; 12 takes "
        "4 KB, and is used where it saves at least 1 %% (12)",
    )
    add_quick(p)


def add_quick(p: argparse.ArgumentParser) -> None:
    """Declare --quick of a command that searches for patches."""
    p.add_argument(
        "--quick",
        action="store_true",
        help="search several times faster, for patches a few percent larger; without it 1 MB "
        "takes about 20 s",
    )


def windows(args: argparse.Namespace) -> list[int]:
    """What --wbits allows."""
    return [w for w in package.WINDOWS if w <= args.wbits]


def signing(paths: list[str]) -> list[keys.SigningKey]:
    """The private keys of --key; warns of those that others can read. Raises ToolError."""
    if len(paths) > _KEYS:
        raise ToolError(f"--key {len(paths)} times: devices read at most {_KEYS} signatures")
    found = [keys.load(path) for path in paths]
    if len({key.id for key in found}) < len(found):
        raise ToolError("--key: the same key twice")
    warn(*(f"{p} can be read by others: chmod 600 {p}" for p in paths if files.exposed(p)))
    return found


def image(path: str, target: str = "app") -> bytes:
    """The image in a file.

    Raises:
        ToolError: the file is something else, such as a package.
    """
    data = files.read(path)
    refuse_others(data, path, target)
    return data
