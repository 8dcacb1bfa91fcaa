"""Every move of docs/states.md is made, on a board, by what makes it in a product.

One table per strategy; a row is (from, to, reason, start, act): start makes a board that is in
`from`, act makes it go to `to` and leaves the reason in the record. Together the rows are the
moves of ota/state/__init__.py, no more and no fewer; tests/shared/test_state.py has them as data.
"""

import ota
from nor import PowerCut
from ota import device, errors, state, update
from ota import package as fmt
from ota.errors import StateError, TransportError, VerifyError
from ota.state import record as slots
from packer import Package, content, entry, manifest, release
from rig import Rig
from scenes import (
    ONE,
    SIZE,
    STRATEGIES,
    THREE,
    TWO,
    Case,
    Server,
    Source,
    blank,
    confirmed,
    fetch,
    fresh,
    made,
    on_trial,
    usual,
)

_IMAGES = {"0.1": ONE, "0.2": TWO, "0.3": THREE}


class _Watch:
    """Records (from, to, reason) of each Slots.save() that left the state it found."""

    def __init__(self):
        self.moves = []

    def __enter__(self):
        self._save = save = slots.Slots.save

        def watched(one, record):
            old = one.load()
            save(one, record)
            if old and old.state != record.state:
                names = state.name(old.state), state.name(record.state)
                self.moves.append(names + (errors.word(record.reason),))

        slots.Slots.save = watched
        return self.moves

    def __exit__(self, *_):
        slots.Slots.save = self._save


# -- boards in a state ---------------------------------------------------------------------


def _kept(strategy):
    """IDLE: 0.2 is confirmed, 0.1 may come back."""
    return confirmed(strategy)[0]


def _fetching(strategy):
    return _half(fresh(strategy))


def _ready(strategy):
    return _armed(fresh(strategy), usual(strategy))


def _saving(strategy):
    """APPLY: power went before the running image was touched."""
    rig = _ready(strategy)
    return _cut(rig, "backup" if strategy == "pingpong" else "ota")


def _applying(strategy):
    """APPLY: power went in the middle of the running image."""
    return _cut(_ready(strategy), "active")


def _trial(strategy):
    return on_trial(strategy)[0]


def _alone(strategy):
    """TRIAL by a full package: in place it brings no way back."""
    return on_trial(strategy, "full")[0]


def _back(strategy):
    rig = _trial(strategy)
    ota.rollback(reset=False)
    return rig


def _rescue(strategy):
    """RESCUE: a board that came without an image."""
    rig = blank(strategy)
    rig.config["image_size"] = 0
    p = rig.config["partitions"]["active"]
    rig.nor.erase(p["offset"], p["size"])
    rig.boot()
    return rig


# The same with nothing to return to.


def _rescue_fetching(strategy):
    return _half(_rescue(strategy))


def _rescue_ready(strategy):
    return _armed(_rescue(strategy), made("full"))


def _rescue_applying(strategy):
    return _cut(_rescue_ready(strategy), "active")


def _rescue_trial(strategy):
    rig = _rescue_ready(strategy)
    rig.boot()
    return rig


# With a factory image.


def _factory(strategy, image_size=SIZE):
    device.current = None
    rig = Rig(strategy, SIZE, factory=Package(ONE, None, "0.1").data())
    rig.config["image_size"] = image_size
    if image_size:
        rig.boot()
    return rig


def _factory_ready(strategy):
    return _armed(_factory(strategy), usual(strategy))


def _factory_trial(strategy):
    rig = _factory_ready(strategy)
    rig.boot()
    return rig


def _factory_wanted(strategy):
    rig = _factory(strategy)
    ota.restore(reset=False)
    return rig


def _factory_empty(strategy):
    """RESCUE: nothing else may run, and power went while it was put back."""
    rig = _factory(strategy, 0)
    p = rig.config["partitions"]["active"]
    rig.nor.erase(p["offset"], p["size"])
    return _cut(rig, "backup" if strategy == "ab" else "active")


def _half(rig):
    """The connection breaks in the middle of a download."""
    data = _full()
    try:
        fetch(rig, Server(data, len(data) // 2))
    except TransportError:
        pass
    return rig


def _full():
    """Longer than it needs to be, so that it can break off."""
    return Package(TWO, None).data()


def _armed(rig, data):
    rig.install(data)
    return rig


def _cut(rig, name):
    """Boot; power goes right after the first erase in a partition, where an image lies."""
    erase = rig.nor.erase
    start = rig.config["partitions"][name]["offset"]

    def watched(offset, length):
        if start <= offset < start + SIZE:
            rig.nor.cut_at(1, "after")
        erase(offset, length)

    rig.nor.erase = watched
    try:
        rig.boot()
    except PowerCut:
        pass
    finally:
        del rig.nor.erase
    rig.nor.power_on()
    rig.device = device.current = device.Device(rig.config)
    return rig


# -- what happens to them ------------------------------------------------------------------


def _boot(case, rig):
    rig.boot()


def _update(case, rig):
    """A server has 0.2."""
    data = _full()
    m = manifest(content([release("0.2", TWO, [entry("full", data)])]))
    update.drive(update.run(rig.device, Source(m, {"full": data})))


def _by_hand(case, rig):
    """Somebody puts a package into the OTA partition."""
    rig.write("ota", _full())
    rig.boot()


def _rest(case, rig):
    """The rest of the download comes."""
    fetch(rig, Server(_full()))


def _bad_rest(case, rig):
    """The rest comes, but its last byte is wrong."""
    data = _full()
    data = data[:-1] + bytes([data[-1] ^ 1])
    case.assertRaises(VerifyError, fetch, rig, Server(data))


def _another(case, rig):
    """A newer package comes."""
    rig.install(Package(THREE, None, "0.3").data())


def _confirm(case, rig):
    case.assertTrue(ota.confirm())


def _rollback(case, rig):
    ota.rollback(reset=False)


def _restore(case, rig):
    ota.restore(reset=False)


def _tries(case, rig):
    """It is started again and again and never confirmed."""
    for _ in range(4):
        case.start(rig)


def _exceptions(case, rig):
    for _ in range(4):
        case.assertTrue(case.start(rig, "app_that_is_not_there"))


def _bad_slot(case, rig):
    """A bit of the running image flips."""
    _damage(rig, "backup" if rig.device.slots.load().active else "active", 9999)


def _bad_new(case, rig):
    """A bit of what is armed flips: ab has it in the other slot, the others in a package."""
    if rig.strategy == "ab":
        _damage(rig, "backup", 9999)
    else:
        _damage(rig, "ota", sum(fmt.lengths(rig.read("ota", fmt.PREFIX))) - 1)  # its signature


def _bad_old(case, rig):
    """A bit of the way back flips."""
    if rig.strategy == "inplace":
        _damage(rig, "ota", 4096 + 200)  # the reverse package
    else:
        _damage(rig, "active" if rig.device.slots.load().active else "backup", 9999)


def _damage(rig, name, at):
    rig.nor.data[rig.config["partitions"][name]["offset"] + at] ^= 1
    rig.boot()


# -- the tables ----------------------------------------------------------------------------

# from, to, reason, start, act
_AB = (
    ("IDLE", "FETCH", "", fresh, _update),
    ("IDLE", "FETCH", "", fresh, _by_hand),
    ("IDLE", "BACK", "request", _kept, _rollback),
    ("IDLE", "RESCUE", "restore", _factory, _restore),
    ("FETCH", "IDLE", "chain", _fetching, _bad_rest),
    ("FETCH", "READY", "", _fetching, _rest),
    ("FETCH", "RESCUE", "chain", _rescue_fetching, _bad_rest),
    ("READY", "IDLE", "digest", _ready, _bad_new),
    ("READY", "FETCH", "", _ready, _another),
    ("READY", "TRIAL", "", _ready, _boot),
    ("READY", "RESCUE", "digest", _rescue_ready, _bad_new),
    ("READY", "RESCUE", "restore", _factory_ready, _restore),
    ("TRIAL", "IDLE", "", _trial, _confirm),
    ("TRIAL", "BACK", "tries", _trial, _tries),
    ("TRIAL", "BACK", "exception", _trial, _exceptions),
    ("TRIAL", "BACK", "request", _trial, _rollback),
    ("TRIAL", "BACK", "digest", _trial, _bad_slot),
    ("TRIAL", "RESCUE", "tries", _rescue_trial, _tries),
    ("TRIAL", "RESCUE", "exception", _rescue_trial, _exceptions),
    ("TRIAL", "RESCUE", "digest", _rescue_trial, _bad_slot),
    ("TRIAL", "RESCUE", "restore", _factory_trial, _restore),
    ("BACK", "IDLE", "request", _back, _boot),
    ("BACK", "RESCUE", "request", _back, _bad_old),
    ("RESCUE", "IDLE", "restore", _factory_wanted, _boot),
    ("RESCUE", "IDLE", "empty", _factory_empty, _boot),
    ("RESCUE", "FETCH", "empty", _rescue, _update),
    ("RESCUE", "FETCH", "empty", _rescue, _by_hand),
)  # fmt: skip
_PINGPONG = (
    ("IDLE", "FETCH", "", fresh, _update),
    ("IDLE", "READY", "", fresh, _by_hand),
    ("IDLE", "BACK", "request", _kept, _rollback),
    ("IDLE", "RESCUE", "restore", _factory, _restore),
    ("FETCH", "IDLE", "chain", _fetching, _bad_rest),
    ("FETCH", "READY", "", _fetching, _rest),
    ("FETCH", "RESCUE", "chain", _rescue_fetching, _bad_rest),
    ("READY", "IDLE", "signature", _ready, _bad_new),
    ("READY", "FETCH", "", _ready, _another),
    ("READY", "APPLY", "", _ready, _boot),
    ("READY", "RESCUE", "signature", _rescue_ready, _bad_new),
    ("READY", "RESCUE", "restore", _factory_ready, _restore),
    ("APPLY", "IDLE", "signature", _saving, _bad_new),
    ("APPLY", "TRIAL", "", _saving, _boot),
    ("APPLY", "TRIAL", "", _applying, _boot),
    ("APPLY", "BACK", "signature", _applying, _bad_new),
    ("APPLY", "RESCUE", "signature", _rescue_applying, _bad_new),
    ("TRIAL", "IDLE", "", _trial, _confirm),
    ("TRIAL", "BACK", "tries", _trial, _tries),
    ("TRIAL", "BACK", "exception", _trial, _exceptions),
    ("TRIAL", "BACK", "request", _trial, _rollback),
    ("TRIAL", "BACK", "digest", _trial, _bad_slot),
    ("TRIAL", "RESCUE", "tries", _rescue_trial, _tries),
    ("TRIAL", "RESCUE", "exception", _rescue_trial, _exceptions),
    ("TRIAL", "RESCUE", "digest", _rescue_trial, _bad_slot),
    ("TRIAL", "RESCUE", "restore", _factory_trial, _restore),
    ("BACK", "IDLE", "request", _back, _boot),
    ("BACK", "RESCUE", "request", _back, _bad_old),
    ("RESCUE", "IDLE", "restore", _factory_wanted, _boot),
    ("RESCUE", "IDLE", "empty", _factory_empty, _boot),
    ("RESCUE", "FETCH", "empty", _rescue, _update),
    ("RESCUE", "READY", "", _rescue, _by_hand),
)  # fmt: skip
_INPLACE = (
    ("IDLE", "FETCH", "", fresh, _update),
    ("IDLE", "READY", "", fresh, _by_hand),
    ("IDLE", "BACK", "request", _kept, _rollback),
    ("IDLE", "RESCUE", "restore", _factory, _restore),
    ("FETCH", "IDLE", "chain", _fetching, _bad_rest),
    ("FETCH", "READY", "", _fetching, _rest),
    ("FETCH", "RESCUE", "chain", _rescue_fetching, _bad_rest),
    ("READY", "IDLE", "signature", _ready, _bad_new),
    ("READY", "FETCH", "", _ready, _another),
    ("READY", "APPLY", "", _ready, _boot),
    ("READY", "RESCUE", "signature", _rescue_ready, _bad_new),
    ("READY", "RESCUE", "restore", _factory_ready, _restore),
    ("APPLY", "IDLE", "signature", _saving, _bad_new),
    ("APPLY", "TRIAL", "", _saving, _boot),
    ("APPLY", "TRIAL", "", _applying, _boot),
    ("APPLY", "RESCUE", "signature", _applying, _bad_new),
    ("APPLY", "RESCUE", "signature", _rescue_applying, _bad_new),
    ("TRIAL", "IDLE", "", _trial, _confirm),
    ("TRIAL", "BACK", "tries", _trial, _tries),
    ("TRIAL", "BACK", "exception", _trial, _exceptions),
    ("TRIAL", "BACK", "request", _trial, _rollback),
    ("TRIAL", "BACK", "digest", _trial, _bad_slot),
    ("TRIAL", "RESCUE", "tries", _alone, _tries),
    ("TRIAL", "RESCUE", "exception", _alone, _exceptions),
    ("TRIAL", "RESCUE", "digest", _alone, _bad_slot),
    ("TRIAL", "RESCUE", "tries", _rescue_trial, _tries),
    ("TRIAL", "RESCUE", "restore", _factory_trial, _restore),
    ("BACK", "IDLE", "request", _back, _boot),
    ("BACK", "RESCUE", "request", _back, _bad_old),
    ("RESCUE", "IDLE", "restore", _factory_wanted, _boot),
    ("RESCUE", "IDLE", "empty", _factory_empty, _boot),
    ("RESCUE", "FETCH", "empty", _rescue, _update),
    ("RESCUE", "READY", "", _rescue, _by_hand),
)  # fmt: skip
_TABLES = (("ab", _AB), ("pingpong", _PINGPONG), ("inplace", _INPLACE))


class TestMoves(Case):
    def _rows(self, strategy, table):
        for old, new, reason, start, act in table:
            with self.subTest(strategy=strategy, old=old, new=new, reason=reason):
                rig = start(strategy)
                self.assertEqual(ota.status()["state"], old)
                with _Watch() as moves:
                    act(self, rig)
                    rig.boot()
                self.assertEqual(moves[0], (old, new, reason))
                # What came of it is in the table as well, and it ends well.
                for move in moves:
                    self.assertIn(move[:2], [row[:2] for row in table])
                self._rests(rig)

    def _rests(self, rig):
        record = rig.device.slots.load()
        self.assertIn(state.name(record.state), ("IDLE", "FETCH", "TRIAL", "RESCUE"))
        if record.state == state.RESCUE:
            self.assertEqual(record.image.size, 0)
        else:
            self.assertTrue(rig.runs(_IMAGES[record.image.version]))
        ops = rig.nor.ops
        rig.boot()
        self.assertEqual(rig.nor.ops, ops)

    def test_ab(self):
        self._rows("ab", _AB)

    def test_pingpong(self):
        self._rows("pingpong", _PINGPONG)

    def test_inplace(self):
        self._rows("inplace", _INPLACE)

    def test_the_rows_are_the_moves_that_are_allowed(self):
        self.assertEqual([strategy for strategy, _ in _TABLES], list(STRATEGIES))
        for strategy, table in _TABLES:
            with self.subTest(strategy=strategy):
                rows = {row[:2] for row in table}
                self.assertEqual(sorted(rows), sorted(_allowed(strategy)))

    def test_every_other_move_is_refused_and_writes_nothing(self):
        count = 0
        for strategy, table in _TABLES:
            allowed = _allowed(strategy)
            starts = {row[0]: row[3] for row in table}
            for old in starts:
                rig = starts[old](strategy)
                record = rig.device.slots.load()
                ops = rig.nor.ops
                for new in range(state.RESCUE + 1):
                    record.state = new
                    if state.name(new) == old or (old, state.name(new)) in allowed:
                        continue
                    with self.subTest(strategy=strategy, old=old, new=new):
                        self.refused(StateError, "state", rig.device.slots.save, record)
                        self.assertEqual(rig.nor.ops, ops)
                        count += 1
        # 6 states of ab, 7 of each other strategy; 6 moves to think of from each.
        self.assertEqual(count, 6 * (6 + 7 + 7) - sum([len(_allowed(s)) for s in STRATEGIES]))


def _allowed(strategy):
    """(from, to) of each move that state.py lets happen."""
    moves = []
    for old in range(state.RESCUE + 1):
        for new in range(state.RESCUE + 1):
            try:
                state.check(strategy, old, new)
            except StateError:
                continue
            if old != new:
                moves.append((state.name(old), state.name(new)))
    return moves
