"""Chunks and windows of packages: what they ask of a device's memory."""

import random

import pytest
from images import image
from ota import package as fmt
from ota.package import chunks
from otatool import cli
from otatool.release import keys
from otatool.release import package as build

KEY = keys.generate("hmac")
META = build.Meta("p", "0.2")


def _chunks(data):
    """(length, blocks) of each chunk, and the header."""
    h = fmt.parse(data[: sum(fmt.lengths(data))])
    found = []
    at = h.length
    while at < h.size:
        length = fmt.CHUNK + int.from_bytes(data[at : at + 2], "little")
        found.append((length, data[at + 3]))
        at += length
    return found, h


@pytest.mark.parametrize("n", [0, 1])
def test_only_a_block_that_is_alone_takes_more_than_4_kb(n):
    new = image(2, 60_000) + random.Random(1).randbytes(12_288 * n) + image(3, 60_000)
    found, h = _chunks(build.full(new, META, [KEY]).data)
    fits = 4096 - 8 + fmt.CHUNK  # 8: what an inflater carries over
    assert len(found) > 5
    assert all(length <= fits or blocks == 1 for length, blocks in found)
    assert (h.chunk_max > fits) == bool(n)
    assert h.stored_max == max(length for length, _ in found) - fmt.CHUNK


@pytest.mark.parametrize("block", [256, 1024, 2048])
def test_small_blocks_make_small_chunks(block):
    new = image(2, 200_000) + random.Random(1).randbytes(30_000)
    data = build.full(new, META, [KEY], block, restart=16_384).data
    found, h = _chunks(data)
    assert h.block_size == block
    # A block that does not deflate grows by some bytes, and is alone then.
    assert h.stored_max <= max(1792 - 8, block + 100)
    # A restart is where a sector begins, and no further behind the last than was asked for.
    starts, at, first, since = [], h.length, 0, 0
    for length, blocks in found:
        if data[at + 2] & chunks.RESTART:
            starts.append(first)
            since = 0
        since += length
        assert since <= 16_384
        at += length
        first += blocks
    assert len(starts) >= len(data) // 16_384
    assert all(number * block % 4096 == 0 for number in starts)


@pytest.mark.parametrize("wbits", [10, 12])
def test_window_is_no_larger_than_asked_for(wbits, tmp_path, capsys):
    # What repeats lies further back than 1 KB, nearer than 4 KB.
    noise = random.Random(2).randbytes(3000)
    (tmp_path / "image").write_bytes(noise * 12)
    keys.write(KEY, str(tmp_path / "k"))
    out = tmp_path / "out.ota"
    cli.main([
        "build", str(tmp_path / "image"), str(out), "--product", "p", "--version", "0.2",
        "--key", str(tmp_path / "k.key"), "--wbits", str(wbits),
    ])  # fmt: skip
    assert _chunks(out.read_bytes())[1].wbits == wbits
    assert f"window {wbits}" in " ".join(capsys.readouterr().out.split())
