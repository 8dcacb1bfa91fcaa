"""Select the decoder for the payload of a package, and load only that one."""

from ..compat import collect
from ..modules import load, unload
from ..package import FULL

if False:  # for type checkers
    from ota_hints import Base, Decoder, Header


def decoder(
    header: "Header", base: "Base", done: bytearray | None = None, store: "Base | None" = None
) -> "Decoder":
    """Make the decoder of header's payload.

    base: region with the base image; done: see delta.patch; store: region with the stash.
    """
    if header.encoding == FULL:
        return load("delta.full").Full(header.image_size, header.block_size)
    patch = load("delta.patch")
    collect()  # tables and metadata are long
    pointers = stash = None
    if header.pointers:
        pointers = load("delta.pointers").Pointers(*header.pointers, header.base_size)
    if header.stash:
        stash = load("delta.stash").Stash(*header.stash, header.base_size, store)
    return patch.Patch(
        base, header.base_size, header.image_size, header.block_size, header.meta_max,
        header.ordered, done, pointers, stash,
    )  # fmt: skip


def decodable(header: "Header") -> bool:
    """True unless the payload needs a pointer filter that this board does not have.

    The modules loaded for the check do not stay in memory.
    """
    if not header.pointers:
        return True
    try:
        return load("delta.pointers").available(header.pointers[0])
    except ImportError:  # no filter is installed at all
        return False
    finally:
        unload("delta.pointers")
