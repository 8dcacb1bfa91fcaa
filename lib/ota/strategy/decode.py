"""Choose the decoder that a package's payload asks for."""

from ..delta.full import Full
from ..delta.patch import Patch
from ..package import header as package


def decoder(header, base, done=None):
    """Decoder of header's payload. base: region with the base image; done: delta.patch."""
    if header.encoding == package.FULL:
        return Full(header.image_size, header.block_size)
    return Patch(
        base, header.base_size, header.image_size, header.block_size, header.meta_max,
        header.ordered, done,
    )  # fmt: skip
