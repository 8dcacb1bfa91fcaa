"""Choose the decoder that a package's payload asks for, and load only that one."""

from ..compat import collect
from ..modules import load, unload
from ..package import FULL


def decoder(header, base, done=None, store=None):
    """Decoder of header's payload. base: region with the base image; done: delta.patch;
    store: region with the stash, delta.stash."""
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


def decodable(header) -> bool:
    """True if this board carries the pointer filter that header asks for, or it asks for none.

    Nothing that was loaded for the answer stays in memory.
    """
    if not header.pointers:
        return True
    try:
        return load("delta.pointers").available(header.pointers[0])
    except ImportError:  # no filter is installed at all
        return False
    finally:
        unload("delta.pointers")
