"""What a fuzzed patch or package does on the device's code; both interpreters.

A case is plain data, made by tests/fuzz or read from tests/vectors/fuzz. docs/fuzzing.md.

    {"kind": "stream", "base": name of an old image, "size": bytes of it that are the base,
     "image", "block", "meta": bytes, "ordered": bool, "pointers": five numbers or None,
     "stash": two numbers or None, "skip": blocks that are written already,
     "parts": [[restart, blocks, bytes], ...]}
    {"kind": "package", "board": one of BOARDS, "strategy", "then": "confirm" or "rollback",
     "data": bytes}
"""

import gc
import hashlib
import json
import sys
from binascii import hexlify, unhexlify

import vector_files
from delta_stream import Plain
from images import image
from ota import state
from ota.boot import trial
from ota.delta.patch import Patch
from ota.delta.pointers import Pointers
from ota.delta.stash import Stash
from ota.errors import OtaError, VerifyError, word
from packer import Package
from rig import Rig

# name: base, sector, program size, spare sectors
BOARDS = {
    "small": ("base", 1024, 8, 12),
    "2048": ("24k", 2048, 8, 6),
    "4096": ("24k", 4096, 8, 4),
}
FLOOR = 1  # of the small board
BASES = ("base", "patch", "in_place", "thumb", "thumb_in_place", "24k")
_CORPUS = "fuzz/"
micropython = sys.implementation.name == "micropython"
_bases = {}
_boards = {}


class Outside(BaseException):
    """Something was read or written where it must not be."""


def base(name):
    """The old image of that name."""
    if name not in _bases:
        if name == "base":
            data = vector_files.load(_CORPUS + "base.bin")
        elif name == "24k":
            data = image(1, 24 * 1024)
        else:
            data = unhexlify(vector_files.load_json("delta/" + name + ".json")["old"])
        _bases[name] = data
    return _bases[name]


class Memory:
    """Bytes as a decoder's base or stash; a read outside of them is a bug."""

    def __init__(self, data):
        self.data = data
        self.reads = 0

    def read(self, offset, buf):
        """Fill buf from offset."""
        if not len(buf) or offset < 0 or offset + len(buf) > len(self.data):
            raise Outside("read", offset, len(buf))
        self.reads += 1
        buf[:] = self.data[offset : offset + len(buf)]


def decode(case, skip=0):
    """(word, blocks) of a stream: "ok", or why it was refused; [(index, bytes), ...] before.

    Ordered streams overwrite the base as they would in flash, once the stash is made. skip:
    the first so many blocks are there already, and only read past.
    """
    old = base(case["base"])[: case["size"]]
    ordered = case["ordered"]
    block = case["block"]
    count = (case["image"] + block - 1) // block
    blocks = []
    try:
        pointers = stash = store = None
        if case["pointers"]:
            pointers = Pointers(*case["pointers"], case["size"])
        if case["stash"]:
            # It is not made yet where a package is only looked at.
            stash = Stash(*case["stash"], case["size"], None)
        live = Memory(bytearray(old))
        decoder = Patch(
            live, case["size"], case["image"], block, case["meta"], ordered,
            bytearray((count + 7) // 8) if ordered else None, pointers, stash,
        )  # fmt: skip
        out = memoryview(bytearray(block))
        if stash:
            store = _stashed(case, Stash(*case["stash"], case["size"], None), live, block)
            stash._store = store
        if skip and ordered:  # what was written before power went
            for index, data in decode(case)[1][:skip]:
                _write(live, index * block, data)
        step = 0
        for restart, number, body in case["parts"]:
            inflater = Plain(body)
            if restart:
                decoder.restart(step)
            for _ in range(number):
                if step < skip:
                    decoder.skip(inflater)
                else:
                    index, length = decoder.block(inflater, out)
                    data = bytes(out[:length])
                    blocks.append((index, data))
                    if ordered:
                        _write(live, index * block, data)
                step += 1
            if not inflater.empty:
                raise VerifyError("chunk")
    except OtaError as e:
        return _word(e), blocks
    return "ok", blocks


def _write(live, at, data):
    """As in flash: what lies behind the base is written, but no part of it."""
    n = max(0, min(len(data), len(live.data) - at))
    live.data[at : at + n] = data[:n]


def _stashed(case, stash, live, block):
    """The stash as it is made before the first block; None if its table is wrong."""
    inflater = Plain(case["parts"][0][2] if case["parts"] else b"")
    view = memoryview(bytearray(max(case["meta"], 9)))
    store = Memory(bytearray(case["stash"][0]))
    try:
        if case["pointers"]:
            Pointers(*case["pointers"], case["size"]).load(inflater, view)
        stash.load(inflater, view)
    except OtaError:
        return None  # it is refused all the same when the decoder reads it
    at = 0
    out = memoryview(bytearray(block))
    for n in stash.pieces(live, out):
        if at + n > len(store.data):
            raise Outside("stash", at, n)
        store.data[at : at + n] = out[:n]
        at += n
    return store


def _word(e):
    if not e.code:
        raise AssertionError("not a listed error: %r" % e)
    return e.reason


class Board(Rig):
    """A small board that runs a known image, at rest; start() brings it back there."""

    def __init__(self, name, strategy):
        self.name, sector, program, spare = BOARDS[name]
        self.old = base(self.name)
        Rig.__init__(self, strategy, len(self.old), sector, program, spare)
        self.write("active", self.old)
        record = self.boot()
        if name == "small":
            record.floor = record.image.floor = FLOOR
            self.device.slots.save(record)
        self._rest = self.nor.snapshot()

    def boot(self):
        """As in Rig; the same on every interpreter."""
        record = Rig.boot(self)
        self.device.mpy = 6
        return record

    def start(self):
        """As it was made."""
        self.nor.restore(self._rest)
        self.nor.log = None
        self.boot()

    def watch(self):
        """From now on note what is programmed and erased."""
        self.nor.log = []

    def touched(self):
        """Names of the partitions that were written since watch()."""
        names = set()
        for op in self.nor.log:
            at = op[1]
            end = at + (len(op[2]) if op[0] == "program" else self.nor.sector_size)
            for name, p in self.config["partitions"].items():
                if at < p["offset"] + p["size"] and end > p["offset"]:
                    names.add(name)
                    if at < p["offset"] or end > p["offset"] + p["size"]:
                        raise Outside("write over an edge", at, end)
        self.nor.log = None
        return names


def board(name, strategy):
    """The board of that name, made once."""
    key = name, strategy
    if key not in _boards:
        _boards.clear()  # a small heap has room for one
        gc.collect()
        _boards[key] = Board(name, strategy)
    return _boards[key]


def allowed(strategy, stage):
    """Partitions that may be written while a package is received ("install"), or by a boot."""
    if stage == "install":
        return {"kv", "backup"} if strategy == "ab" else {"kv", "ota"}
    return {"ab": {"kv"}, "pingpong": {"kv", "ota", "active", "backup"}}.get(
        strategy, {"kv", "ota", "active"}
    )


def play(case):
    """(outcome, board) of a package: what an installer and the next boots make of it.

    Outcome: "install WORD" or "boot WORD" of a refusal, "install none" for the image that runs;
    "lost digest" where one slot was rewritten by a package whose image is not the one that its
    signed header names; else "trial", the first 8 bytes of the image's digest, then "confirmed",
    "back", "stays WORD" where there is no way back, or "rescue WORD".
    """
    rig = board(case["board"], case["strategy"])
    rig.start()
    rig.watch()
    try:
        said = "" if rig.install(case["data"])["result"] == "ready" else "install none"
    except OtaError as e:
        said = "install " + _word(e)
    _within(rig, "install")
    if said:
        # The record of a refusal is what the next boot finds.
        _resting(rig, rig.boot(), "after " + said)
        return _mended(rig, case, said)
    rig.watch()
    record = rig.boot()
    _within(rig, "boot")
    if record.state == state.IDLE:
        said = "boot " + word(record.reason)
        if said == "boot ":
            raise AssertionError("no reason")
        _resting(rig, record, said)
        return _mended(rig, case, said)
    if record.state == state.RESCUE and case["strategy"] == "inplace":
        # Signed by us, and yet not the image that was promised: found out at the very end.
        return _mended(rig, case, "lost " + word(record.reason))
    if record.state != state.TRIAL:
        raise AssertionError("state %s %s" % (state.name(record.state), word(record.reason)))
    said = "trial " + hexlify(hashlib.sha256(rig.running()).digest()[:8]).decode()
    rig.watch()
    if case["then"] == "confirm":
        trial.confirm()
        record = rig.boot()
        if record.state != state.IDLE:
            raise AssertionError("not confirmed")
        said += " confirmed"
    else:
        said += _back(rig)
    _within(rig, "boot")
    return said, rig


def _mended(rig, case, said):
    """(said, rig); of every other case only once a good package was taken after it."""
    if case["then"] == "rollback":
        new = rig.old[:300]
        rig.install(Package(new, None, "0.9", rig.nor.sector_size, floor=FLOOR).data())
        if rig.boot().state != state.TRIAL or not rig.runs(new):
            raise AssertionError(said + ": nothing is taken after it")
    return said, rig


def _back(rig):
    """Give the image up; what that leads to."""
    try:
        trial.rollback(False)
    except OtaError as e:
        return " stays " + _word(e)
    record = rig.boot()
    if record.state == state.RESCUE:
        return " rescue " + word(record.reason)
    if record.state != state.IDLE or not rig.runs(rig.old):
        raise AssertionError("way back: " + state.name(record.state))
    return " back"


def _within(rig, stage):
    names = rig.touched() - allowed(rig.strategy, stage)
    if names:
        raise Outside(stage, sorted(names))


def _resting(rig, record, said):
    """The old image is whole and runs, and the store tells why."""
    # What breaks off is fetched again: the update goes on from where it is.
    rest = (state.IDLE, state.FETCH) if said.endswith(" short") else (state.IDLE,)
    if record.state not in rest or not rig.runs(rig.old):
        raise AssertionError("%s: %s" % (said, state.name(record.state)))
    ops = rig.nor.ops
    again = rig.boot()
    if again.state != record.state or rig.nor.ops != ops or again.reason != record.reason:
        raise AssertionError(said + ": the next boot")


def blocks_digest(blocks):
    """A short name of blocks with their places."""
    h = hashlib.sha256()
    for index, data in blocks:
        h.update(b"%d " % index)
        h.update(data)
    return hexlify(h.digest()[:8]).decode()


def outcome(case):
    """What is kept of a case in the corpus: one line of text."""
    if case["kind"] == "package":
        return play(case)[0]
    said, blocks = decode(case)
    if said == "ok" and 0 < case["skip"] <= len(blocks):
        again, rest = decode(case, case["skip"])
        if again != said or rest != blocks[case["skip"] :]:
            raise AssertionError("resumed: " + again)
    return "%s %d %s" % (said, len(blocks), blocks_digest(blocks))


def load(name):
    """Generator over (case, outcome) of tests/vectors/fuzz/NAME: a line of JSON, then the bytes
    that it tells the lengths of."""
    with open(vector_files._FOLDER + _CORPUS + name, "rb") as f:
        while True:
            line = f.readline()
            if not line:
                return
            case = json.loads(line)
            want = case.pop("want")
            if case["kind"] == "package":
                case["data"] = f.read(case.pop("data"))
            else:
                case["parts"] = [[r, n, f.read(size)] for r, n, size in case["parts"]]
            f.read(1)  # a line end behind it, for who reads along
            yield case, want


def keep_modules():
    """Have the library keep the modules that it would unload after use: on MicroPython most of
    a case's time goes into compiling them again."""
    for name, module in list(sys.modules.items()):
        if name[:4] == "ota." and hasattr(module, "unload"):
            module.unload = _keep


def _keep(name):
    pass


def differences(name, every=1):
    """Play the cases of a file, or each every-th; yields (number, outcome, what it should be),
    where they differ, then (how many were played, "", "")."""
    count = played = 0
    for case, want in load(name):
        count += 1
        if count % every == 0:
            played += 1
            got = outcome(case)
            # "x | y": the interpreters see it differently, docs/fuzzing.md.
            if got != want.split(" | ")[-1 if micropython else 0]:
                yield count, got, want
    yield played, "", ""


def replay(name, every=1):
    """Play a file; returns how many cases. Raises AssertionError."""
    for count, got, want in differences(name, every):
        if want:
            raise AssertionError("%s, case %d: %s, not %s" % (name, count, got, want))
    return count


def pack(case, want):
    """The bytes of a case as load() takes them."""
    line = dict(case, want=want)
    line.pop("good", None)
    if case["kind"] == "package":
        line["data"] = len(case["data"])
        body = case["data"]
    else:
        line["parts"] = [[r, n, len(part)] for r, n, part in case["parts"]]
        body = b"".join([part for _, _, part in case["parts"]])
    return json.dumps(line).encode() + b"\n" + body + b"\n"
