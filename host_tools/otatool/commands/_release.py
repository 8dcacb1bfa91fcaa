"""What the commands have in common that make packages: their options, their keys."""

from .. import files
from ..errors import ToolError
from ..image import contents
from ..release import keys
from ..release import package as build
from ..terminal import console as consoles
from ..terminal import values

_KEYS = 4  # lines of signatures that a device reads in a manifest (docs/format.md)


def add_release(p, newer: str = "") -> None:
    """Declare the options that say what a package is of, and for. newer: of the version."""
    p.add_argument("--product", required=True, type=values.type_of(values.name, "product"))
    p.add_argument(
        "--version",
        required=True,
        type=values.type_of(values.version),
        help="dotted integers" + newer,
    )
    p.add_argument(
        "--key",
        action="append",
        required=True,
        help=f"private key; may be repeated. A passphrase is asked for, or {keys.PASSPHRASE} of "
        "the environment",
    )
    p.add_argument(
        "--target",
        type=values.type_of(values.name, "target"),
        default="app",
        help="what the image is for (app)",
    )
    p.add_argument(
        "--block",
        type=values.type_of(values.block),
        default=build.BLOCK,
        help="output block, bytes (4096)",
    )


def signing(paths: list[str]) -> list[keys.SigningKey]:
    """The private keys of --key; warns of those that others can read. Raises ToolError."""
    if len(paths) > _KEYS:
        raise ToolError(f"--key {len(paths)} times: devices look at {_KEYS} signatures")
    found = [keys.load(path) for path in paths]
    if len({key.id for key in found}) < len(found):
        raise ToolError("--key: the same key twice")
    consoles.warn(
        *(f"{p} can be read by others: chmod 600 {p}" for p in paths if files.exposed(p))
    )
    return found


def image(path: str, target: str = "app") -> bytes:
    """The image in a file. Raises ToolError for something else, such as a package."""
    data = files.read(path)
    contents.refuse_others(data, path, target)
    return data
