"""Choose the decoder that a package's payload asks for, and load only that one."""

from ..compat import collect
from ..package import FULL


def decoder(header, base, done=None, store=None):
    """Decoder of header's payload. base: region with the base image; done: delta.patch;
    store: region with the stash, delta.stash."""
    if header.encoding == FULL:
        from .full import Full

        return Full(header.image_size, header.block_size)
    from .patch import Patch

    collect()  # tables and metadata are long
    pointers = stash = None
    if header.pointers:
        from .pointers import Pointers

        pointers = Pointers(*header.pointers, header.base_size)
    if header.stash:
        from .stash import Stash

        stash = Stash(*header.stash, header.base_size, store)
    return Patch(
        base, header.base_size, header.image_size, header.block_size, header.meta_max,
        header.ordered, done, pointers, stash,
    )  # fmt: skip
