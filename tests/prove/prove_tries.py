"""Power cuts in a trial that nobody confirms (docs/reliability.md).

The image is started again and again. Whatever is cut, it runs three times at most, a start that
was cut may cost a try but never gives one back, and in the end the old image runs.
"""

from explore import Failed
from ota import state
from ota.boot import trial
from prove_update import Update, name_of

_TRIES = 3


class Restart(BaseException):
    """The board would restart here."""


class _Machine:
    @staticmethod
    def reset():
        raise Restart


class Tries(Update):
    """An update of which nothing is confirmed, from the first start of the new image until the
    old one is back. Arguments as those of Update."""

    def __init__(self, strategy, kind, name, sector, program, **options):
        Update.__init__(self, strategy, kind, name, sector, program, True, **options)
        self.name = name_of(strategy, kind, name, sector, program, "t", options)

    def actions(self):
        """Three starts that come to nothing, and the one that gives the image up."""
        return [self._start] * (_TRIES + 1)

    def _start(self):
        # As frozen main.py does it; the application is a module that is there anyway.
        self.rig.config["main"] = "sys"
        machine, trial.machine = trial.machine, _Machine
        try:
            trial.start()
        except Restart:
            self.rig.boot()
        finally:
            trial.machine = machine

    def check(self, cuts):
        """Boot after cuts, start until nothing is on trial, look."""
        rig = self.rig
        record = self._settled()
        self._budget.check(cuts)
        ran = min(self.run.step[self.cut_at], _TRIES)  # before the cut
        while record.state == state.TRIAL:
            if not rig.runs(self.new):
                raise Failed("another image on trial")
            if record.tries > _TRIES - ran:
                raise Failed("a try was given back", record.tries, ran)
            ran += record.tries > 0
            self._start()
            record = self._settled()
        if ran > _TRIES or record.state != state.IDLE or not rig.runs(self.old):
            raise Failed("not gone back", state.name(record.state), record.reason, ran)
        if record.seen != self.seen:
            raise Failed("the image that was given up is not remembered")
