"""The patch tools beside ours: bytes of the smallest patch that each of them makes.

A tool that is not installed gives None. detools includes HDiffPatch's matcher ("hdiffpatch");
HPatchLite is HDiffPatch for small devices, packed with tinyuz: its command hdiffi is built from
its source, https://github.com/sisong/HPatchLite (make LZMA=0 ZLIB=0 is enough).
"""

import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable

import bsdiff4

try:
    import detools
except ImportError:
    detools = None
try:
    import zstandard
except ImportError:
    zstandard = None


def bsdiff(old: bytes, new: bytes) -> int | None:
    """bsdiff4: bzip2 over control, differences and extra bytes."""
    return len(bsdiff4.diff(old, new))


def detools_best(compression: str, thumb: bool = False) -> Callable[[bytes, bytes], int | None]:
    """detools with that compression: the smallest over its matchers, heatshrink windows and,
    for Thumb code, its data format."""

    def measure(old: bytes, new: bytes) -> int | None:
        if detools is None:
            return None
        sizes = []
        windows = (8, 10, 11, 12, 14) if compression == "heatshrink" else (8,)
        for kind, algorithm in (("sequential", "bsdiff"), ("hdiffpatch", "hdiffpatch")):
            formats = (None, "arm-cortex-m4") if thumb and kind == "sequential" else (None,)
            for form in formats:
                for window in windows:
                    out = io.BytesIO()
                    try:
                        detools.create_patch(
                            io.BytesIO(old), io.BytesIO(new), out, compression, kind, algorithm,
                            data_format=form, heatshrink_window_sz2=window, use_mmap=False,
                        )  # fmt: skip
                    except Exception:  # a pair that a mode cannot do
                        continue
                    sizes.append(len(out.getvalue()))
        return min(sizes) if sizes else None

    return measure


def zstd(old: bytes, new: bytes) -> int | None:
    """zstd --patch-from at level 22: the whole old image is the window."""
    if zstandard is None:
        return None
    dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    log = max(17, (len(old) + len(new)).bit_length())
    parameters = zstandard.ZstdCompressionParameters.from_level(
        22, window_log=log, enable_ldm=True, write_checksum=0, write_content_size=0
    )
    compressor = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters)
    return len(compressor.compress(new))


def xdelta(old: bytes, new: bytes) -> int | None:
    """xdelta3 -9, the command (Debian package xdelta3; the module on PyPI fails since 3.10)."""
    if shutil.which("xdelta3") is None:
        return None
    return _command(old, new, "xdelta3", "-f", "-e", "-9", "-S", "djw", "-A", "-s")


def hpatchlite(old: bytes, new: bytes) -> int | None:
    """HPatchLite with tinyuz, the best of its dictionaries and match scores."""
    if shutil.which("hdiffi") is None:
        return None
    return min(
        _command(old, new, "hdiffi", "-f", f"-m-{score}", f"-c-tuz-{size}")
        for size in ("4k", "32k", "1m")
        for score in (0, 1, 3, 6)
    )


def hpatchlite_in_place(old: bytes, new: bytes, spare: int) -> int | None:
    """The same in place, with so many bytes of memory beside the image."""
    if shutil.which("hdiffi") is None:
        return None
    return min(
        _command(old, new, "hdiffi", "-f", f"-inplace-{spare}", f"-m-{score}", f"-c-tuz-{size}")
        for size in ("4k", "32k")
        for score in (1, 6)
    )


def _command(old, new, *words):
    """Bytes that a command makes whose last arguments are old, new and the patch."""
    with tempfile.TemporaryDirectory() as name:
        paths = [os.path.join(name, n) for n in ("old", "new", "patch")]
        for path, data in zip(paths, (old, new), strict=False):
            with open(path, "wb") as f:
                f.write(data)
        subprocess.run([*words, *paths], check=True, stdout=subprocess.DEVNULL)
        return os.path.getsize(paths[2])


def detools_in_place(old: bytes, new: bytes, segment: int, spare: int) -> int | None:
    """detools in place with heatshrink, the best of its windows: `spare` bytes of memory beside
    the larger image, the old one moved up by so much at the most."""
    if detools is None:
        return None
    sizes = []
    whole = -(-max(len(old), len(new)) // segment) * segment
    for shift in {2 * segment, spare}:
        for window in (8, 10, 12):
            out = io.BytesIO()
            try:
                detools.create_patch(
                    io.BytesIO(old), io.BytesIO(new), out, "heatshrink", "in-place",
                    memory_size=whole + spare, segment_size=segment, minimum_shift_size=shift,
                    heatshrink_window_sz2=window, use_mmap=False,
                )  # fmt: skip
            except Exception:  # a pair that it cannot do
                continue
            sizes.append(len(out.getvalue()))
    return min(sizes) if sizes else None
