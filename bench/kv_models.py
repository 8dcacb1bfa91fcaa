"""Other key-value stores as models: what they would program and erase.

A model keeps no bytes. It keeps which record lies in which sector, with the sizes of the store's
layout, and counts the programs and erases that the store's code makes, in its order. Each model
says where its layout comes from; no constant was fitted. tests/host/test_bench_kv.py compares
the counts with those of the stores' own code on the same sets, and with FIGURES.

Modelled are sets of values that differ from the stored one: no deletes, no power cuts, no reads.
"""

SECTOR = 4096

# (store, unit): workload: bytes per set, programs per set, erases per 1000 sets, as others found
# them on the same workloads with other random numbers.
FIGURES = {
    ("tos_kv", 8): {
        "A": (49.7, 4.1, 10),
        "B": (98.9, 5.3, 23),
        "C": (1060.8, 25.9, 270),
        "D": (51.9, 4.3, 12),
        "A2": (71.9, 5.2, 18),
    },
    ("FlashDB", 8): {
        "A": (100.2, 8.4, 26),
        "B": (107.4, 8.3, 28),
        "C": (341.6, 17.8, 89),
        "D": (98.8, 8.5, 27),
        "A2": (208.5, 15.8, 58),
    },
    ("FlashDB", 1): {
        "A": (50.0, 7.6, 12),
        "B": (66.4, 7.1, 16),
        "C": (177.5, 10.0, 43),
    },
    ("littlefs", 16): {
        "A": (44.8, 1.0, 11),
        "B": (85.2, 1.1, 21),
        "C": (198.3, 1.3, 48),
        "D": (51.1, 1.0, 12),
        "A2": (44.8, 1.0, 11),
    },
    ("ESP-IDF NVS", 1): {
        "A": (40.3, 3, 6),
        "B": (121.2, 8, 22),
        "C": (375.9, 10, 83),
        "D": (145.2, 9, 29),
        "A2": (72.3, 4, 15),
    },
    ("Zephyr NVS", 8): {
        "A": (16.9, 2, 2),
        "B": (40.2, 2, 8),
        "C": (125.6, 2.3, 27),
        "D": (25.2, 2.1, 6),
        "A2": (19.3, 2.2, 4),
    },
    ("Zephyr ZMS", 8): {
        "A": (17.1, 2, 2),
        "B": (48.4, 2, 10),
        "C": (142.5, 2.4, 32),
        "D": (34.3, 2.1, 8),
        "A2": (21.0, 2.2, 5),
    },
}
# The others of FIGURES come from models as well, coarser ones.
MEASURED = (("tos_kv", 8), ("FlashDB", 8), ("FlashDB", 1), ("littlefs", 16))
CLOSE = 0.03  # of the figure


def gaps(store, work, cost):
    """[(what, share above the figure)] of cost where it is not close; None without a figure.

    Close is also what rounds to the figure, and one erase more or less.
    """
    figures = FIGURES.get(store, {}).get(work)
    if figures is None:
        return None
    found = []
    for i, what in enumerate(("bytes", "programs", "erases")):
        rounding = 1 if what == "erases" else 0.5 if isinstance(figures[i], int) else 0.05
        if abs(cost[i] - figures[i]) > max(CLOSE * figures[i], rounding):
            found.append((what, cost[i] / figures[i] - 1))
    return found


class Full(Exception):
    """The store has no room for the workload."""


class Model:
    """The counters of the flash mock, and set(key, value) as the store has it."""

    unit = 8

    def __init__(self, sectors):
        self.sectors = sectors
        self.programs = self.programmed_bytes = self.erases = 0
        self.reads = self.read_bytes = 0  # not modelled
        self.refused = 0  # sets that found no room although the store has it
        self.wear = [0] * sectors

    def _program(self, size):
        self.programs += 1
        self.programmed_bytes += size

    def _erase(self, sector):
        self.erases += 1
        self.wear[sector] += 1

    def _align(self, size):
        return -(-size // self.unit) * self.unit

    def _data(self, size):
        """Whole units in one call, a padded rest in another."""
        whole = size // self.unit * self.unit
        if whole:
            self._program(whole)
        if size > whole:
            self._program(self.unit)

    def _ring(self, start, count):
        """count sectors from start on, round the end."""
        return [(start + i) % self.sectors for i in range(count)]


class TosKv(Model):
    """tos_kv of TencentOS-tiny: components/fs/kv/tos_kv.c, include/tos_kv.h; units of 8 bytes.

    A sector begins with 8 bytes of magic. A record is 8 bytes "discarded", 8 of magic, 8 of CRC
    and lengths, then key and value together. Programmed are lengths, magic, key and value, and
    "discarded" of the old record.
    """

    _SECTOR_HEAD = 8
    _HEAD = 24

    def __init__(self, sectors):
        Model.__init__(self, sectors)
        self._live = [{} for _ in range(sectors)]  # key: size
        self._where = {}  # key: sector
        self._free = [SECTOR - self._SECTOR_HEAD] * sectors
        self._fresh = [True] * sectors
        self._dirty = [False] * sectors
        self._at = 0

    def set(self, key, value):
        size = self._HEAD + self._align(len(key) + len(value))
        sector = self._find(size)
        old = self._where.get(key)  # now, because compaction may have moved it
        if old is not None:
            del self._live[old][key]
            self._program(8)
            self._dirty[old] = True
        self._put(sector, key, size)

    def _put(self, sector, key, size):
        self._program(8)
        self._program(8)
        self._program(size - self._HEAD)
        self._free[sector] -= size
        self._fresh[sector] = False
        self._live[sector][key] = size
        self._where[key] = sector

    def _find(self, size):
        for _ in range(2 * self.sectors):
            if self._free[self._at] >= size:
                return self._at
            others = self._ring(self._at + 1, self.sectors - 1)
            found = [i for i in others if not self._fresh[i] and self._free[i] >= size]
            if not found and sum(self._fresh) > 1:
                found = [i for i in others if self._fresh[i]]
            if found:
                self._at = found[0]
                return self._at
            self._compact()
        raise Full

    def _compact(self):
        fresh = [i for i in self._ring(self._at + 1, self.sectors - 1) if self._fresh[i]]
        if not fresh or True not in self._dirty:
            raise Full
        self._at = fresh[0]
        source = self._dirty.index(True)  # the first on flash, however little it frees
        for key, size in list(self._live[source].items()):
            self._put(self._at, key, size)
        self._erase(source)
        self._program(8)
        self._live[source] = {}
        self._free[source] = SECTOR - self._SECTOR_HEAD
        self._dirty[source] = False
        self._fresh[source] = True
        self._fresh[self._at] = False


class FlashDB(Model):
    """FlashDB KVDB 2.2: src/fdb_kvdb.c, inc/fdb_low_lvl.h; write granularity 64 or 8 bits.

    A sector header is three units "store" status, three "dirty" status, 12 bytes; a record
    header five units of status, 20 bytes. Key and value follow, each padded. 4-byte fields lie at
    multiples of four; units of 8 pad both headers by 4 more. A status step programs one unit:
    five for a record in its life, of which the set of the next one makes two.
    """

    _KEY = 64  # the longest key: sectors without room for a header and this take no record
    _BUFFER = 32  # compaction copies in pieces of this

    def __init__(self, sectors, unit=8):
        Model.__init__(self, sectors)
        self.unit = unit
        pad = 4 if unit == 8 else 0
        self._status = (5 * unit + 3) // 4 * 4
        self._head = self._status + 20 + pad
        self._sector_status = (6 * unit + 3) // 4 * 4
        self._sector_head = self._sector_status + 12 + pad
        self._live = [{} for _ in range(sectors)]  # key: size
        self._where = {}  # key: sector
        self._free = [SECTOR - self._sector_head] * sectors
        self._empty = [True] * sectors
        self._state = ["clean"] * sectors
        self._oldest = 0
        self._wanted = False  # compaction

    def set(self, key, value):
        size = self._head + self._align(len(key)) + self._align(len(value))
        sector = self._find(size)
        if sector is None and self._wanted:
            self._compact(size)
            sector = self._find(size)
        if sector is None:
            # Compaction stops at room which the search then finds too small.
            self.refused += 1
            self._wanted = False
            return
        old = self._where.get(key)
        if old is not None:
            del self._live[old][key]
            self._step()  # about to be deleted
            self._step()  # deleted, when the new one is there
            if self._state[old] == "clean":
                self._step()
                self._state[old] = "dirty"
        self._open(sector)
        self._step()
        self._program(self._head - self._status)
        self._data(len(key))
        self._data(len(value))
        self._step()
        self._place(sector, key, size)

    def _step(self):
        self._program(self.unit)

    def _open(self, sector):
        if self._empty[sector]:
            self._step()
            self._empty[sector] = False

    def _place(self, sector, key, size):
        self._free[sector] -= size
        self._live[sector][key] = size
        self._where[key] = sector

    def _find(self, size):
        ring = self._ring(self._oldest, self.sectors)
        for i in ring:
            if not self._empty[i] and self._fits(i, size):
                return i
        empty = [i for i in ring if self._empty[i]]
        if len(empty) > 1 or (empty and self._wanted):
            return empty[0] if self._fits(empty[0], size) else None
        if empty:
            self._wanted = True  # the last empty sector is for compaction
        return None

    def _fits(self, i, size):
        if self._state[i] == "moving" or (self._state[i] == "dirty" and self._wanted):
            return False
        return self._free[i] > size + self._head + self._KEY

    def _compact(self, size):
        target = self._empty.index(True)  # there is one
        for i in self._ring(self._oldest, self.sectors):
            if self._state[i] != "dirty":
                continue
            self._step()
            self._state[i] = "moving"
            for key, length in list(self._live[i].items()):
                self._move(key, length)
            self._live[i] = {}
            self._format(i)
            self._oldest = (i + 1) % self.sectors
            if self._free[target] > size:
                break
            target = i
        self._wanted = False

    def _move(self, key, size):
        self._step()  # about to be deleted
        sector = self._find(size)
        if sector is None:
            raise Full
        self._open(sector)
        self._step()
        for at in range(self._status, size, self._BUFFER):
            self._program(min(self._BUFFER, size - at))
        self._step()
        self._place(sector, key, size)
        self._step()  # deleted

    def _format(self, i):
        self._erase(i)
        self._step()
        self._step()
        self._program(self._sector_head - self._sector_status)
        self._empty[i] = True
        self._state[i] = "clean"
        self._free[i] = SECTOR - self._sector_head


class EspNvs(Model):
    """ESP-IDF NVS: nvs_page.cpp, nvs_pagemanager.cpp, nvs_storage.cpp in components/nvs_flash/src.

    A sector is a header of 32 bytes, 32 bytes with two bits per entry, 126 entries of 32. A value
    of 1, 2, 4 or 8 bytes is one entry; another one an entry, entries of data, and an entry as
    index. Each entry written or erased programs a word of the bits again: units of one byte or
    less. Keys have 15 bytes at most; longer ones are counted as if they fitted.
    """

    unit = 1
    _ENTRIES = 126
    _ENTRY = 32
    _WORD = 16  # entries whose bits are in one word

    def __init__(self, sectors):
        Model.__init__(self, sectors)
        self._blank = list(range(sectors))
        self._used = []  # oldest first
        self._items = [{} for _ in range(sectors)]  # (key, part, version): first entry, entries
        self._where = {}
        self._next = [None] * sectors  # None: no header yet
        self._full = [False] * sectors
        self._used.append(self._blank.pop(0))
        self._write(("namespace", "index", True), 0)

    def set(self, key, value):
        old = (key, "index", True) in self._where  # its version; both exist for a while
        parts = ("index",)
        if len(value) in (1, 2, 4, 8):
            if not self._left():
                self._turn()
        else:
            parts = ("index", "data")
            if self._data_left() < len(value):
                self._turn()
            rest = self._data_left() - len(value)
            self._write((key, "data", not old), len(value))
            if rest < self._ENTRY:
                self._turn()
        self._write((key, "index", not old), 0)
        for part in parts:
            item = (key, part, old)
            if item in self._where:
                first, count = self._items[self._where.pop(item)].pop(item)
                self._bits(first, count)

    def _left(self):
        at = self._used[-1]
        return 0 if self._full[at] else self._ENTRIES - (self._next[at] or 0)

    def _data_left(self):
        return (self._left() - 1) * self._ENTRY

    def _write(self, item, length):
        if self._left() < 1 - -length // self._ENTRY:
            raise Full
        at = self._used[-1]
        self._begin(at)
        first = self._next[at]
        self._entry(at)
        whole = length // self._ENTRY
        if whole:
            self._program(whole * self._ENTRY)
            self._bits(self._next[at], whole)
            self._next[at] += whole
        if length % self._ENTRY:
            self._entry(at)
        self._place(at, item, first)

    def _begin(self, at):
        if self._next[at] is None:
            self._program(32)
            self._next[at] = 0

    def _entry(self, at):
        self._program(self._ENTRY)
        self._bits(self._next[at], 1)
        self._next[at] += 1

    def _bits(self, first, count):
        for _ in range(first // self._WORD, (first + count - 1) // self._WORD + 1):
            self._program(4)

    def _place(self, at, item, first):
        self._items[at][item] = (first, self._next[at] - first)
        self._where[item] = at

    def _turn(self):
        """Go on in a blank sector; the last one takes what is live in the emptiest."""
        at = self._used[-1]
        if not self._full[at]:
            self._program(4)
            self._full[at] = True
        target = self._blank.pop(0)
        if self._blank:
            self._used.append(target)
            return
        live = [sum([count for _, count in self._items[i].values()]) for i in self._used]
        source = self._used.pop(live.index(min(live)))
        self._used.append(target)
        if min(live) == self._ENTRIES:
            raise Full
        self._program(4)
        for (_, count), item in sorted([(v, k) for k, v in self._items[source].items()]):
            self._begin(target)
            first = self._next[target]
            for _ in range(count):
                self._entry(target)
            self._place(target, item, first)
        self._erase(source)
        self._items[source] = {}
        self._next[source] = None
        self._full[source] = False
        self._blank.append(source)


class ZephyrNvs(Model):
    """Zephyr NVS: subsys/fs/nvs/nvs.c, without data CRC; units of 8 bytes.

    Keys are 16-bit numbers. Values grow from the start of a sector, entries of 8 bytes from its
    end. The last place of a sector is for the entry that closes it; one entry says that
    compaction is done. The next sector of the ring is always erased, also the first time round.
    """

    _ENTRY = 8
    _RESERVED = 1  # entries at the end of a sector
    _BUFFER = 32  # compaction copies in pieces of this

    def __init__(self, sectors):
        Model.__init__(self, sectors)
        self._live = [{} for _ in range(sectors)]  # key: length of the value
        self._where = {}  # key: sector
        self._closed = [False] * sectors
        self._at = -1
        self._advance()
        self._put_entry()  # a new store is "done" from the start

    def set(self, key, value):
        length = len(value)
        for _ in range(self.sectors):
            if self._fits(length):
                self._write(key, length, SECTOR)
                return
            self._close()
            self._closed[self._at] = True
            self._advance()
            self._compact()
        raise Full

    def _advance(self):
        self._at = (self._at + 1) % self.sectors
        self._start = 0  # of the next value
        self._end = SECTOR - (self._RESERVED + 1) * self._ENTRY  # where the next entry goes

    def _size(self, length):
        return self._align(length)

    def _fits(self, length):
        return self._end >= self._start + self._size(length) + self._ENTRY

    def _write(self, key, length, piece):
        if self._size(length):
            for at in range(0, length, piece):
                self._data(min(piece, length - at))
        self._start += self._size(length)
        self._put_entry()
        old = self._where.get(key)
        if old is not None:
            del self._live[old][key]
        self._live[self._at][key] = length
        self._where[key] = self._at

    def _put_entry(self):
        self._program(self._ENTRY)
        self._end -= self._ENTRY

    def _close(self):
        self._program(self._ENTRY)

    def _compact(self):
        source = (self._at + 1) % self.sectors
        if self._closed[source]:
            for key, length in list(self._live[source].items()):
                self._write(key, length, self._BUFFER)
        self._done()
        self._erase(source)
        self._closed[source] = False

    def _done(self):
        if self._end >= self._start + self._ENTRY:
            self._put_entry()


class ZephyrZms(ZephyrNvs):
    """Zephyr ZMS: subsys/kvss/zms/zms.c, without data CRC; units of 8 bytes.

    Keys are 32-bit numbers. As NVS, with entries of 16 bytes that hold values of up to 8 bytes
    themselves. Two places are at the end of a sector: the entry in the last says "empty" and is
    written after each erase, that in the other closes the sector, after the unused places for
    entries were filled. A sector without its "empty" is erased before it is used.
    """

    _ENTRY = 16
    _RESERVED = 2

    def __init__(self, sectors):
        self._empty = [False] * sectors  # has the entry that says so
        ZephyrNvs.__init__(self, sectors)

    def _advance(self):
        ZephyrNvs._advance(self)
        if not self._empty[self._at]:
            self._erase(self._at)

    def _erase(self, sector):
        ZephyrNvs._erase(self, sector)
        self._program(self._ENTRY)
        self._empty[sector] = True

    def _size(self, length):
        return self._align(length) if length > 8 else 0

    def _fits(self, length):
        # The first place for an entry stays free, the second is for that of a delete.
        return self._end > self._ENTRY and ZephyrNvs._fits(self, length)

    def _close(self):
        while self._end > 0 and self._end >= self._start:
            self._put_entry()
        self._program(self._ENTRY)

    def _done(self):
        self._put_entry()


def _flashdb_1(sectors):
    return FlashDB(sectors, 1)


# store, unit, what makes it from a number of sectors
MODELS = (
    ("tos_kv", 8, TosKv),
    ("FlashDB", 8, FlashDB),
    ("FlashDB", 1, _flashdb_1),
    ("ESP-IDF NVS", 1, EspNvs),
    ("Zephyr NVS", 8, ZephyrNvs),
    ("Zephyr ZMS", 8, ZephyrZms),
)
