"""Staging flash that is somebody else's: it reads differently every time, and holds anything."""

import hashlib
import struct
import sys
from binascii import crc32

from images import KEY, PRODUCT, image, vector
from nor import Nor, PowerCut
from ota import boot, device, errors, state
from ota.boot import apply as settle
from ota.boot import trial
from ota.state.journal import Journal
from ota.strategy import holds
from ota.strategy.staging import journal_region
from packer import Package
from rig import KB, Rig
from scenes import ONE, SIZE, TWO, Case, fresh, usual
from slow import SAMPLE, some

_SIZE = 9 * KB
_SLOT = 16 * KB
_OLD, _NEW = image(1, _SIZE), image(2, _SIZE)
_EVIL = hashlib.sha256(b"evil").digest() * 320
_TURNS = 2  # boots; the first settles all


class _Chip(Nor):
    """Staging flash that shows what it wants; switches when read number `at` comes.

    mode: "from": the other content from then on; "once": for that read alone; "until": before
    it; "bit": one wrong bit in that read; a number: before it, and from so many reads behind
    it. other: what is shown then, from offset 0 on. Reads from `end` on, where the marks are,
    do not count.
    """

    mode = ""
    end = 1 << 30

    def attack(self, mode, at, other=b""):
        self.mode, self.at, self.other, self.count = mode, at, other, 0

    def read(self, offset, buf):
        super().read(offset, buf)
        if not self.mode or offset >= self.end:
            return
        self.count += 1
        now = self.count - self.at
        if self.mode == "bit":
            if not now:
                buf[len(buf) // 2] ^= 4
        elif (
            not 0 <= now < self.mode
            if isinstance(self.mode, int)
            else {"from": now >= 0, "once": now == 0, "until": now < 0}[self.mode]
        ):
            part = self.other[offset : offset + len(buf)]
            buf[: len(part)] = part


class _Board:
    """Slots and KV on a chip of the board's own, all else on one that is not."""

    def __init__(self, strategy, old=_OLD, factory=b""):
        self.strategy, self.old = strategy, old
        self.mcu = Nor(2 * _SLOT + 16 * KB, 4096, 8)
        self.spi = _Chip(112 * KB, 4096, 8)
        parts = {
            "active": {"flash": "mcu", "offset": 0, "size": _SLOT},
            "backup": {"flash": "mcu", "offset": _SLOT, "size": _SLOT},
            "kv": {"flash": "mcu", "offset": 2 * _SLOT, "size": 16 * KB},
            "ota": {"flash": "spi", "offset": 0, "size": 80 * KB},
        }
        if strategy == "inplace":
            del parts["backup"]
        if factory:
            parts["factory"] = {"flash": "spi", "offset": 80 * KB, "size": 32 * KB}
        self.config = {
            "product": PRODUCT, "strategy": strategy, "version": "0.1", "keys": [KEY],
            "flash": {"mcu": {"driver": self.mcu}, "spi": {"driver": self.spi}},
            "partitions": parts, "image_size": len(old), "mount": "",
        }  # fmt: skip
        self.put(self.mcu, 0, old)
        if factory:
            self.put(self.spi, 80 * KB, factory)
        self.boot()

    def put(self, nor, at, data):
        nor.erase(at, -(-len(data) // 4096) * 4096)
        nor.program(at, data + b"\xff" * (-len(data) % 8))

    def boot(self):
        device.current = self.device = device.Device(self.config)
        self.record = boot.settle(self.device)
        return self.record

    def snapshot(self):
        return self.mcu.snapshot(), self.spi.snapshot()

    def restore(self, base):
        self.mcu.restore(base[0])
        self.spi.restore(base[1])

    def slot(self, number, n):
        return bytes(self.mcu.data[number * _SLOT : number * _SLOT + n])


def _update(strategy, old=_OLD, new=_NEW):
    place = strategy == "inplace"
    return Package(new, old if place else None, ordered=place).data()


def _each(board, mode, other=b"", first=1, stride=1):
    """The attack at each read of a run of boots; yields (number, record)."""
    base = board.snapshot()
    at = first
    stride *= 3 if SAMPLE and mode == "bit" else 1
    while True:
        board.restore(base)
        board.spi.attack(mode, at, other)
        for _ in range(_TURNS):
            record = board.boot()
        done = board.spi.count < at
        board.spi.mode = ""
        if done:
            break
        yield at, record
        at += stride
    board.restore(base)


class TestSwapped(Case):
    """What was checked is what is used."""

    def _sound(self, board, record):
        """Nothing unsigned is an image of this board, and what runs is whole."""
        for number, one in ((record.active, record.image), (record.previous, record.old)):
            if one.size and number < 2:
                self.assertIn(one.digest, self.good, one.version)
        if record.state != state.RESCUE:
            runs = board.slot(record.active, record.image.size)
            self.assertIn(hashlib.sha256(runs).digest(), self.good)
            self.assertEqual(hashlib.sha256(runs).digest(), record.image.digest)
        self.assertFalse(record.state in (state.APPLY, state.BACK))

    def test_package_by_hand(self):
        self.good = [hashlib.sha256(x).digest() for x in (_OLD, _NEW)]
        evil = Package(_EVIL, version="0.3", keys=()).data()
        for strategy in ("ab", "pingpong", "inplace"):
            board = _Board(strategy)
            board.put(board.spi, 0, _update(strategy))
            board.spi.end = journal_region(board.device).offset
            saved = []
            save = board.device.slots.__class__.save
            board.device.slots.__class__.save = lambda s, r: (saved.append(r.state), save(s, r))
            try:
                for mode, stride in (("from", 5), ("once", 6), ("until", 1)):
                    cases = 0
                    for at, record in _each(board, mode, evil, 1, stride):
                        with self.subTest(strategy=strategy, mode=mode, at=at):
                            cases += 1
                            self._sound(board, record)
                            # In place there is one copy; a chip that stays bad takes it.
                            bad = (strategy, mode) == ("inplace", "from")
                            if not bad or state.APPLY not in saved:
                                self.assertNotEqual(record.state, state.RESCUE)
                        saved[:] = ()
                    self.assertTrue(cases > 2)
            finally:
                board.device.slots.__class__.save = save

    def test_genuine_only_while_it_is_checked(self):
        self.good = [hashlib.sha256(x).digest() for x in (_OLD, _NEW)]
        for strategy in ("ab", "pingpong", "inplace"):
            # Of the same shape, so that a head read before leads through it.
            new, old = (_NEW, _OLD) if strategy == "inplace" else (_NEW, None)
            evil = Package(_EVIL[: len(new)], old, "0.3", ordered=bool(old), keys=()).data()
            board = _Board(strategy)
            board.put(board.spi, 0, _update(strategy))
            board.spi.end = journal_region(board.device).offset
            base = board.snapshot()
            for first in some(range(1, 9)):
                for length in range(2, 36, 1 if strategy == "ab" else 7):
                    board.restore(base)
                    board.spi.attack(length, first, evil)
                    board.boot()
                    board.spi.mode = ""
                    with self.subTest(strategy=strategy, first=first, length=length):
                        self._sound(board, board.record)

    def test_factory_image(self):
        self.good = [hashlib.sha256(x).digest() for x in (_OLD, _NEW)]
        evil = bytearray(80 * KB) + Package(_EVIL, version="0.3", keys=()).data()
        for strategy in ("ab", "pingpong", "inplace"):
            board = _Board(strategy, factory=Package(_NEW, version="0.0.9").data())
            record = board.device.slots.load()
            record.state, record.image = state.RESCUE, type(record.image)()
            board.device.slots.save(record)
            for mode, stride in (("from", 5), ("once", 6), ("until", 1)):
                cases = 0
                for at, record in _each(board, mode, evil, 1, stride):
                    with self.subTest(strategy=strategy, mode=mode, at=at):
                        cases += 1
                        self._sound(board, record)
                        # What stays bad gives no image; what was bad once does at the next boot.
                        if mode == "once":
                            self.assertEqual(record.state, state.IDLE)
                self.assertTrue(cases > 2)


class TestOneBit(Case):
    """A bit that is read wrong once costs nothing."""

    def test_apply(self):
        for strategy in ("ab", "pingpong", "inplace"):
            board = _Board(strategy)
            board.put(board.spi, 0, _update(strategy))
            for at, record in _each(board, "bit", stride=11):
                with self.subTest(strategy=strategy, at=at):
                    self.assertIn(record.state, (state.TRIAL, state.IDLE))
                    want = _NEW if record.state == state.TRIAL else _OLD
                    self.assertEqual(board.slot(record.active, len(want)), want)

    def test_ready_is_carried_out(self):
        # Once recorded, an update is not given up for it.
        for strategy in ("pingpong", "inplace"):
            board = _Board(strategy)
            board.put(board.spi, 0, _update(strategy))
            board.spi.end = journal_region(board.device).offset
            work, settle.apply = settle.apply, _stop
            try:
                self.assertRaises(_Stop, board.boot)
            finally:
                settle.apply = work
            self.assertEqual(board.device.slots.load().state, state.READY)
            for at, record in _each(board, "bit", first=2, stride=2):
                with self.subTest(strategy=strategy, at=at):
                    self.assertEqual(record.state, state.TRIAL)
                    self.assertEqual(board.slot(0, len(_NEW)), _NEW)

    def test_apply_with_a_stash(self):
        old, new = image(1, 24 * KB), image(4, 24 * KB)
        rig = Rig("inplace", 24 * KB)
        chip = rig.config["flash"]["nor"]["driver"] = _Chip(rig.nor.size, 4096, 8)
        rig.nor = chip
        rig.write("active", old)
        rig.boot()
        rig.write("ota", vector("stash-24k-4096.ota"))
        # Reads of the OTA partition alone count.
        low = rig.config["partitions"]["ota"]["offset"]
        read = _Chip.read

        def counted(offset, buf):
            if low <= offset < low + rig.config["partitions"]["ota"]["size"]:
                read(chip, offset, buf)
            else:
                Nor.read(chip, offset, buf)

        chip.read = counted
        rig.spi = chip
        rig.snapshot, rig.restore = chip.snapshot, chip.restore
        cases = 0
        for at, record in _each(rig, "bit", stride=13):
            with self.subTest(at=at):
                cases += 1
                self.assertIn(record.state, (state.TRIAL, state.IDLE))
                self.assertTrue(rig.runs(new if record.state == state.TRIAL else old))
        self.assertTrue(cases > (6 if SAMPLE else 20))

    def test_base_that_is_read_wrong_once(self):
        # In place there is no second copy of what a wrong block would replace.
        rig = fresh("inplace")
        rig.write("ota", usual("inplace"))
        base = rig.nor.snapshot()
        read = rig.nor.read
        at = done = 0
        while at == done:
            at += 1
            rig.nor.restore(base)
            left = [at]

            def glitch(offset, buf):
                read(offset, buf)
                # What the decoder copies; a digest is made of pieces of 512, a look of 256.
                if offset < SIZE and len(buf) > 16 and len(buf) not in (256, 512):
                    left[0] -= 1
                    if not left[0]:
                        buf[len(buf) // 2] ^= 8

            rig.nor.read = glitch
            try:
                record = rig.boot()
            finally:
                del rig.nor.read
            if left[0] <= 0:
                done += 1
                with self.subTest(at=at):
                    self.assertIn(record.state, (state.TRIAL, state.IDLE))
                    self.assertTrue(rig.runs(TWO if record.state == state.TRIAL else ONE))
        self.assertTrue(done > 5)

    def test_way_back(self):
        back = Package(_OLD, _NEW, "0.1", ordered=True).data()
        there = Package(_NEW, _OLD, "0.2", ordered=True, behind=back).data()
        there += b"\xff" * (-(len(there) - len(back)) % 4096)
        for strategy, package in (("pingpong", _update("pingpong")), ("inplace", there)):
            board = _Board(strategy)
            if strategy == "inplace":
                head = len(package.rstrip(b"\xff")) - len(back)
                package = package[:head] + b"\xff" * (-head % 4096) + back
            board.put(board.spi, 0, package)
            self.assertEqual(board.boot().state, state.TRIAL)
            trial.rollback(False)
            self.assertEqual(board.device.slots.load().state, state.BACK)
            for at, record in _each(board, "bit", stride=11):
                with self.subTest(strategy=strategy, at=at):
                    self.assertEqual(record.state, state.IDLE)
                    self.assertEqual(board.slot(0, len(_OLD)), _OLD)


class _Stop(BaseException):
    pass


def _stop(*_):
    raise _Stop


def _mark(secret, serial, kind, index, value=0):
    """A mark as docs/format.md section 6 has it."""
    body = struct.pack("<IBxxxII", serial, kind, index, value)
    return body + hashlib.sha256(secret + body).digest()[:8]


def _numbered(number, serial, kind, index, value=0):
    """A mark as it was before there were secrets."""
    body = struct.pack("<IIBxxxII", number, serial, kind, index, value)
    return body + struct.pack("<I", crc32(body))


def _planted(guesses):
    """Lists of marks that somebody may put into the journal."""
    for kind in (1, 2, 3, 255):
        for serial in (5, 0x7FFFFFEF, 0xFFFFFFFF):
            yield [_mark(s, serial, kind, 2, 7) for s in guesses]
    for kind in (1, 2, 3):
        yield [_numbered(n, 1, kind, 2) for n in (0, 1, 2, 3, 0xFFFFFFFF)]
        yield [_numbered(n, 0xFFFFFFFF, kind, 0xFFFFFFFF) for n in (0, 1, 2, 3, 0xFFFFFFFF)]
    yield [_numbered(0xFFFFFFFF, 1, 1, 0), _numbered(0, 5, 2, 2), _numbered(0, 6, 3, 2)]


class TestPlanted(Case):
    """Marks that somebody put into the journal decide nothing."""

    def _plant(self, board, marks):
        region = journal_region(board.device)
        board.spi.erase(region.offset, region.size)
        board.spi.program(region.offset, b"".join(marks))

    def _guesses(self, board):
        # What was there before is known to whoever reads the KV of another board, or an old one.
        return [bytes(8), b"", b"\xff" * 8, board.device.slots.load().secret]

    def test_before_an_apply(self):
        for strategy in ("pingpong", "inplace"):
            board = _Board(strategy)
            board.put(board.spi, 0, _update(strategy))
            base = board.snapshot()
            for n, marks in enumerate(_planted(self._guesses(board))):
                board.restore(base)
                self._plant(board, marks)
                with self.subTest(strategy=strategy, n=n):
                    self.assertEqual(board.boot().state, state.TRIAL)
                    self.assertEqual(board.slot(0, len(_NEW)), _NEW)

    def test_before_a_way_back(self):
        board = _Board("pingpong")
        board.put(board.spi, 0, _update("pingpong"))
        board.boot()
        base = board.snapshot()
        for n, marks in enumerate(_planted(self._guesses(board))):
            board.restore(base)
            self._plant(board, marks)
            device.current = board.device = device.Device(board.config)
            trial.rollback(False)
            with self.subTest(n=n):
                self.assertEqual(board.boot().state, state.IDLE)
                self.assertEqual(board.slot(0, len(_OLD)), _OLD)

    def test_record_of_an_older_library_has_a_secret_before_marks_are_looked_at(self):
        board = _Board("pingpong")
        board.put(board.spi, 0, _update("pingpong"))
        board.boot()
        trial.rollback(False)
        record = board.device.slots.load()
        data = record.pack()
        first = b"\1" + data[1:8] + b"\2\0\0\0" + data[16:40] + data[48:]
        board.device.kv.set("ota.app", first)
        self._plant(board, [_mark(bytes(8), 9, 1, 2), _numbered(2, 9, 1, 2)])
        self.assertEqual(board.boot().state, state.IDLE)
        self.assertEqual(board.slot(0, len(_OLD)), _OLD)
        self.assertNotEqual(board.record.secret, bytes(8))
        self.assertEqual(len(board.device.kv.get("ota.app")), 216)


class TestRecord(Case):
    """A record of impossible values brings the board up all the same."""

    def test_every_value_that_cannot_be(self):
        for strategy in ("ab", "pingpong", "inplace"):
            board = _Board(strategy)
            base = board.snapshot()
            good = board.device.slots.load()
            good.floor, good.sequence = 3, 7
            good.image.floor = 3
            for at, value in (
                (0, 9), (1, 7), (1, 255), (1, state.TRIAL), (1, state.BACK), (1, state.READY),
                (2, 1), (2, 255), (3, 0), (3, 1), (3, 2), (3, 77), (48, 0x41), (50, 0xFF),
            ):  # fmt: skip
                data = bytearray(good.pack())
                data[at] = value
                if strategy == "ab" and at == 2 and value == 1:
                    continue  # that could be
                board.restore(base)
                board.device.kv.set("ota.app", bytes(data))
                with self.subTest(strategy=strategy, at=at, value=value):
                    for turn in range(2):
                        r = board.boot()
                        runs = r.state in (state.IDLE, state.TRIAL)
                        self.assertTrue(runs or r.state == state.RESCUE)
                        if runs:
                            self.assertEqual(board.slot(r.active, r.image.size), _OLD)
                        if at:
                            self.assertEqual((r.floor, r.sequence), (3, 7))

    def test_confirmed_image_that_the_slot_holds_runs(self):
        for strategy in ("ab", "pingpong", "inplace"):
            board = _Board(strategy)
            record = board.device.slots.load()
            record.floor = 3
            data = bytearray(record.pack())
            data[3] = 77  # the slot before
            board.device.kv.set("ota.app", bytes(data))
            base = board.snapshot()
            r = board.boot()
            self.assertEqual((r.state, r.image.version, r.reason), (state.IDLE, "0.1", 90))
            self.assertEqual((r.floor, r.previous), (3, 255))
            ops = board.mcu.ops
            board.boot()
            board.boot()
            self.assertTrue(board.mcu.ops - ops < 3)  # the proof of the record, at most
            # Not one that is not what the record says, and not for what is on trial.
            board.restore(base)
            board.mcu.data[77] ^= 1
            self.assertEqual(board.boot().state, state.RESCUE)
            board.mcu.data[77] ^= 1
            board.restore(base)
            data[1] = state.TRIAL
            board.device.kv.set("ota.app", bytes(data))
            self.assertEqual(board.boot().state, state.RESCUE)
            # A package helps, as from any rescue; not one below the floor.
            board.put(board.spi, 0, Package(_NEW, version="0.2").data())
            self.assertEqual(board.boot().state, state.RESCUE)
            board.put(board.spi, 0, Package(_NEW, version="0.3", floor=3).data())
            r = board.boot()
            self.assertEqual((r.state, r.image.version), (state.TRIAL, "0.3"))


class _Reset(BaseException):
    pass


class _Machine:
    @staticmethod
    def reset():
        raise _Reset


class TestMemory(Case):
    """Memory that runs out in the boot stage is an outcome, not the end."""

    def setUp(self):
        super().setUp()
        self.before = sys.modules.get("machine")

    def tearDown(self):
        super().tearDown()
        if self.before is None:
            sys.modules.pop("machine", None)
        else:
            sys.modules["machine"] = self.before

    def _short(self, board, name, turn):
        """From now on memory runs out at the turn-th call of a method of the device."""
        real = getattr(device.Device, name)
        left = [turn]

        def short(one, *args):
            left[0] -= 1
            if not left[0]:
                raise MemoryError
            return real(one, *args)

        setattr(device.Device, name, short)
        return lambda: setattr(device.Device, name, real)

    def test_before_anything_changed_the_old_image_runs(self):
        for strategy in ("ab", "pingpong", "inplace"):
            for name in ("prepare_kv", "block", "inflater"):
                if strategy == "ab" and name != "prepare_kv":
                    continue
                rig = fresh(strategy)
                rig.install(usual(strategy))
                undo = self._short(rig, name, 1)
                r = rig.boot()
                undo()
                with self.subTest(strategy=strategy, name=name):
                    self.assertEqual((r.state, r.image.version), (state.IDLE, "0.1"))
                    self.assertEqual(errors.word(r.reason), "memory")
                    self.assertTrue(rig.runs(ONE))
                    rig.install(usual(strategy))
                    self.assertEqual(rig.boot().state, state.TRIAL)

    def test_package_by_hand(self):
        for strategy in ("ab", "pingpong", "inplace"):
            rig = fresh(strategy)
            rig.write("ota", usual(strategy))
            undo = self._short(rig, "block", 1)
            r = rig.boot()
            undo()
            self.assertEqual((r.state, errors.word(r.reason)), (state.IDLE, "memory"))
            self.assertTrue(rig.runs(ONE))

    def test_amid_an_apply_the_next_boot_goes_on(self):
        for strategy in ("pingpong", "inplace"):
            for always in (False, True):
                rig = fresh(strategy)
                rig.install(usual(strategy))
                mark = Journal.mark
                left = [99]

                def short(one, kind, index, value=0):
                    mark(one, kind, index, value)
                    # The second block is on the slot; from then on there is no memory.
                    if kind == (3 if strategy == "pingpong" else 2) and index >= 1:
                        left[0] -= 1
                        if left[0] == 98 or always:
                            raise MemoryError

                Journal.mark = short
                sys.modules["machine"] = _Machine
                resets = 0
                try:
                    while resets < 9:
                        try:
                            r = rig.boot()
                            break
                        except _Reset:
                            resets += 1
                            r = rig.device.slots.load()
                            self.assertEqual(r.state, state.APPLY)
                            self.assertEqual(r.tries, 3 - resets)
                            self.assertEqual(errors.word(r.reason), "memory")
                finally:
                    Journal.mark = mark
                with self.subTest(strategy=strategy, always=always):
                    if not always:
                        self.assertEqual((resets, r.state), (1, state.TRIAL))
                        self.assertTrue(rig.runs(TWO))
                    elif strategy == "pingpong":
                        self.assertEqual((resets, r.state), (2, state.IDLE))
                        self.assertTrue(rig.runs(ONE))
                    else:
                        self.assertEqual((resets, r.state), (2, state.RESCUE))
                    self.assertEqual(errors.word(r.reason), "memory")

    def test_board_that_cannot_reset_goes_on(self):
        rig = fresh("inplace")
        rig.install(usual("inplace"))
        mark = Journal.mark
        left = [6]

        def short(one, kind, index, value=0):
            mark(one, kind, index, value)
            left[0] -= 1
            if not left[0]:
                raise MemoryError

        Journal.mark = short
        sys.modules["machine"] = sys
        try:
            r = rig.boot()
        finally:
            Journal.mark = mark
        self.assertEqual((left[0] < 0, r.state), (True, state.TRIAL))
        self.assertTrue(rig.runs(TWO))

    def test_factory_image(self):
        board = _Board("pingpong", factory=Package(_NEW, version="0.0.9").data())
        record = board.device.slots.load()
        record.state, record.image, record.reason = state.RESCUE, type(record.image)(), 0
        board.device.slots.save(record)
        undo = self._short(board, "inflater", 1)
        r = board.boot()
        undo()
        self.assertEqual((r.state, errors.word(r.reason)), (state.RESCUE, "memory"))
        self.assertEqual(board.boot().state, state.IDLE)
        self.assertEqual(board.slot(0, len(_NEW)), _NEW)


class TestBegin(Case):
    """What a boot found in the journal counts from then on: it is said again before all else."""

    def _first(self, rig, cut):
        """Offset of the first operation outside the KV of a boot after one that was cut."""
        rig.nor.cut_at(cut, "after")
        self.assertRaises(PowerCut, rig.boot)
        rig.nor.power_on()
        rig.nor.log = log = []
        rig.boot()
        rig.nor.log = None
        kv = rig.config["partitions"]["kv"]
        inside = range(kv["offset"], kv["offset"] + kv["size"])
        return [op for op in log if op[1] not in inside][0]

    def test_apply_and_way_back(self):
        for strategy in ("pingpong", "inplace"):
            for back in (False, True):
                rig = fresh(strategy)
                rig.install(usual(strategy))
                if back:
                    rig.boot()
                    trial.rollback(False)
                journal = journal_region(rig.device)
                with self.subTest(strategy=strategy, back=back):
                    kind, offset = self._first(rig, 12)[:2]
                    self.assertEqual(kind, "program")
                    self.assertTrue(0 <= offset - journal.offset < journal.size)


class TestHolds(Case):
    def test_image_that_is_longer_than_the_slot(self):
        rig = fresh("ab")
        slot = rig.device.slot(0)
        image = rig.device.slots.load().image
        self.assertTrue(holds(slot, image))
        for size in (0, slot.size + 1, 0xFFFFFFFF):
            image.size = size
            self.assertFalse(holds(slot, image))
        # Also out of the boot stage.
        r = rig.device.slots.load()
        r.image.size = slot.size + 1
        r.state, r.previous, r.old, r.active = state.BACK, 1, r.image, 0
        rig.device.slots.save(r)
        self.assertEqual(rig.boot().state, state.RESCUE)
