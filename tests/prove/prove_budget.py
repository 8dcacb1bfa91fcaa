"""What an update may cost: erases per sector (docs/reliability.md).

`inplace` erases a changed block of the slot once and one of scratch, an unchanged one never,
and the stash once;
`pingpong` a block of the slot and one of the backup; `ab` and a factory restore a block of the
slot that is written. A cut costs one block more; what starts all over, all of it.
"""

from explore import Failed
from ota.strategy import staging


class Budget:
    """The budget of an Update whose clean run has just ended; start: the wear before it."""

    def __init__(self, update, start):
        self._nor = update.nor
        self._start = start
        sector = self._nor.sector_size
        rig = update.rig
        block = max(4096, sector)
        self._more = block // sector  # sectors that a cut makes it write again
        self._again = update.factory  # begins all over after a cut
        self._whole = update.whole
        parts = rig.config["partitions"]
        n = -(-max(len(update.old), len(update.new)) // sector)
        limits = {}

        def allow(name, of):
            first = parts[name]["offset"] // sector
            for i in range(parts[name]["size"] // sector):
                limits[first + i] = of(i)

        def none(i):
            return 0

        def image(i):
            return 1 if i < n else 0

        def changed(i):
            at = i * sector // block * block
            return 1 if update.old[at : at + block] != update.new[at : at + block] else 0

        if rig.strategy == "inplace":
            allow("active", image if update.factory else changed)
        elif rig.strategy == "pingpong":
            allow("active", image)
            allow("backup", none if update.back or update.factory else image)
        else:
            allow("active", none)
            allow("backup", none if update.back else image)
        self._limits = limits
        self._scratch = self._stash = ()
        # Where an earlier package was staged, scratch may lie later.
        if rig.strategy == "inplace" and not update.factory and self._whole == 1:
            ota = rig.device.region("ota")
            header = staging.find(ota)[0]
            stash, spare = staging.Plan(rig.device, header).room(header)
            self._scratch = _sectors(spare)
            if stash:
                self._stash = _sectors(stash)
            self._scratched = sum([changed(i) for i in range(n)])
        self.check(0)

    def check(self, cuts):
        """Raise Failed if more was erased since the start of the run."""
        worn = self._nor.wear
        spent = [worn[i] - self._start[i] for i in range(len(worn))]
        runs = (cuts + 1 if self._again else 1) * self._whole
        over = sum([max(0, spent[i] - runs * self._limits[i]) for i in self._limits])
        if over > cuts * self._more:
            raise Failed("erases beyond the budget", over)
        if self._scratch:
            used = sum([spent[i] for i in self._scratch])
            if used > self._scratched + cuts * self._more:
                raise Failed("erases of scratch", used, self._scratched)
        # A cut before the stash is whole costs all of it.
        if max([0] + [spent[i] for i in self._stash]) > 1 + cuts:
            raise Failed("erases of the stash", [spent[i] for i in self._stash])


def _sectors(region):
    sector = region.sector_size
    return range(region.offset // sector, (region.offset + region.size) // sector)
