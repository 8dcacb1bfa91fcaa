"""What must hold for any patch and any package; a Finding says what did not.

The rules are in docs/fuzzing.md. Independent of the library: a decoder written after the
format (reference.py), HMAC of Python, SHA-256 of what lies in flash.
"""

import hashlib
import hmac
import struct
import sys
import tracemalloc
from pathlib import Path

import fuzz_run
import reference
from images import KEY
from nor import Misuse
from ota.delta import patch as patch_module
from ota.package import inflate as codec

# Lines of the library that a case may run: some for itself, some for each byte it moves. A
# decoder that goes round for ever, or over the same bytes again and again, needs more.
LINES = 10000
LINES_PER_BYTE = 8
READS = 20000  # of flash, by a package of the small board
CHUNK_MAX = 4224 + 2 * 4100
WORDS = ("ok", "patch", "order", "inflate", "chunk")
# Bytes that the library and the player of a case may hold at a time on CPython, beside a few
# copies of the old image.
PEAK = 64 * 1024
for _path in Path(patch_module.__file__).parent.rglob("*_viper.py"):
    # Would be looked for, compiled and refused again for every patch.
    _parts = _path.relative_to(Path(patch_module.__file__).parents[2]).with_suffix("").parts
    sys.modules.setdefault(".".join(_parts), None)
_SIGNED_BY = bytes.fromhex(KEY["secret"])


class Finding(AssertionError):
    """A rule that does not hold."""


class Sizes:
    """While in use, whatever sets memory aside by the numbers of a header is measured."""

    def __enter__(self):
        self._inflater, self._patch = codec.Inflater.__init__, patch_module.Patch.__init__

        def inflater(this, size, wbits):
            if not 0 < size <= CHUNK_MAX or not 9 <= wbits <= 15:
                raise Finding("inflater", size, wbits)
            self._inflater(this, size, wbits)

        def patch(this, *args):
            self._patch(this, *args)
            if len(this._meta) > 4096:
                raise Finding("metadata", len(this._meta))
            for table in (this._pointers, this.stash):
                if table and len(table._starts) > 512:
                    raise Finding("table", len(table._starts))

        codec.Inflater.__init__, patch_module.Patch.__init__ = inflater, patch
        return self

    def __exit__(self, *_):
        codec.Inflater.__init__, patch_module.Patch.__init__ = self._inflater, self._patch


class Steps:
    """While in use, lines of the library are counted; more than the limit is a Finding."""

    def __init__(self, limit):
        self.left = limit

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)

    def _call(self, frame, event, arg):
        return self._line if "/ota/" in frame.f_code.co_filename else None

    def _line(self, frame, event, arg):
        self.left -= 1
        if self.left < 0:
            raise _Endless("steps", frame.f_code.co_name)
        return self._line


class _Endless(BaseException):
    """Raised inside the library, where an Exception might be caught."""


def limit(case):
    """Lines that the library may run for a case."""
    if case["kind"] == "package":
        size = len(case["data"]) + 4 * 8 * len(fuzz_run.base(fuzz_run.BOARDS[case["board"]][0]))
    else:
        size = case["image"] * 3 + sum(len(p) for _, _, p in case["parts"]) + 16 * case["size"]
    return LINES + LINES_PER_BYTE * size


def judge(case, closely=False):
    """The outcome of a case; raises Finding. closely: count lines and memory, which is slow."""
    try:
        with Sizes():
            if not closely:
                return _judge(case)
            with Steps(limit(case)):
                said = _judge(case)
            _measure(case)
            return said
    except (Finding, KeyboardInterrupt):
        raise
    except (fuzz_run.Outside, Misuse, _Endless, Exception) as e:
        raise Finding(type(e).__name__, *e.args) from e


def _measure(case):
    """A case once more; raises Finding if it needs much memory."""
    tracemalloc.start()
    try:
        fuzz_run.outcome(case)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    name = case["base"] if case["kind"] == "stream" else fuzz_run.BOARDS[case["board"]][0]
    if peak > PEAK + 3 * len(fuzz_run.base(name)):
        raise Finding("memory", peak)


def _judge(case):
    return _package(case) if case["kind"] == "package" else _stream(case)


def _stream(case):
    said, blocks = fuzz_run.decode(case)
    want = reference.decode(fuzz_run.base(case["base"])[: case["size"]], case)
    if said not in WORDS:
        raise Finding("word", said)
    if case.get("good") and said != "ok":
        raise Finding("refused", said)
    if (said, blocks) != want:
        raise Finding("decoded", said, want[0], len(blocks), len(want[1]))
    return fuzz_run.outcome(case)


def _package(case):
    rig = fuzz_run.board(case["board"], case["strategy"])
    reads = rig.nor.reads
    said, rig = fuzz_run.play(case)
    if rig.nor.reads - reads > READS:
        raise Finding("reads", rig.nor.reads - reads)
    if len(rig.device.block()) != 4096:
        raise Finding("block", len(rig.device.block()))
    if not said.startswith("install") and not chained(case["data"]):
        raise Finding("chain", said)
    if case.get("good") and not said.startswith("trial"):
        raise Finding("refused", said)
    if said.startswith("lost"):
        # Nothing but the digest of the whole may come out so late, and it must be wrong indeed.
        size, digest = genuine(case["data"])
        there = hashlib.sha256(rig.read("active", size)).digest()
        # The next one lies there already where "then" is "rollback".
        if said != "lost digest" or (case["then"] == "confirm" and there == digest):
            raise Finding(said)
    if said.startswith("trial"):
        size, digest = genuine(case["data"])
        if said.split()[1] != digest[:8].hex():
            raise Finding("accepted", said)
        if said.endswith("confirmed"):
            image = rig.running()
            if len(image) != size or hashlib.sha256(image).digest() != digest:
                raise Finding("image", len(image), size)
        elif not said.endswith("back") and case["strategy"] != "inplace":
            raise Finding("no way back", said)
    return said


def chained(data):
    """True if the chunks of a package hang together, from its header to the last one."""
    length, more = struct.unpack_from("<HH", data, 6)
    payload = _field(data, 0x8007)
    size, expected = struct.unpack_from("<I16s", payload, 8)
    at = length + more
    end = at + size
    while at < end <= len(data):
        chunk = data[at : at + 28 + struct.unpack_from("<H", data, at)[0]]
        if hashlib.sha256(chunk).digest()[:16] != expected:
            return False
        expected = chunk[12:28]
        at += len(chunk)
    return at == end and expected == bytes(16)


def _field(data, wanted):
    at = 12
    while at < struct.unpack_from("<H", data, 6)[0]:
        kind, n = struct.unpack_from("<HH", data, at)
        if kind == wanted:
            return data[at + 4 : at + 4 + n]
        at += 4 + n
    raise Finding("no field", wanted)


def genuine(data):
    """(size, digest) of the image that a package promises, if our key signed that."""
    length, more = struct.unpack_from("<HH", data, 6)
    signed, tail = data[:length], data[length : length + more]
    key = hashlib.sha256(b"ota-key-v1hmac\0" + _SIGNED_BY).digest()[:8]
    right = hmac.new(_SIGNED_BY, signed, "sha256").digest()
    if key + b"\x20\0" + right not in tail:
        raise Finding("not signed")
    return struct.unpack("<I32s", _field(data, 0x8005))
