"""The update as a task: it gives way, may be cancelled, and asks when the schedule says."""

import asyncio
import unittest

from ota import aio, device
from ota.errors import FlashError, ManifestError, OtaError, StateError, TransportError
from ota.state import record as slots


class Steps:
    """ota.steps() by script: lists of steps, an error or a result at the end of each."""

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.asked = []
        self.closed = 0
        self.ran = 0

    def __call__(self, url=None, **options):
        self.asked.append((url, options))
        return self._run(self.scripts.pop(0))

    def _run(self, script):
        try:
            for step in script[:-1]:
                self.ran += 1
                yield step
            if isinstance(script[-1], Exception):
                raise script[-1]
            return script[-1]
        finally:
            self.closed += 1


class Board:
    def __init__(self, **poll):
        self.config = {"poll": poll}
        self.fed = 0
        self.slots = self

    def load(self):
        record = slots.Record()
        record.image.version = "0.1"
        return record

    def feed(self):
        self.fed += 1


NONE, READY = {"result": "none"}, {"result": "ready"}


class TestTask(unittest.TestCase):
    def setUp(self):
        self.before = aio.steps, device.current, aio._sleep
        self.slept = []

        async def sleep(seconds):
            self.slept.append(seconds)

        aio._sleep = sleep

    def tearDown(self):
        aio.steps, device.current, aio._sleep = self.before

    def board(self, *scripts, **poll):
        aio.steps = Steps(*scripts)
        device.current = Board(**poll)
        return aio.steps

    def test_one_update(self):
        steps = self.board([("ask", 0, 0), None, None, ("stream", 1, 2), READY])
        seen = []
        done = asyncio.run(aio.check_and_update(lambda *s: seen.append(s), "http://h/m", 1))
        self.assertEqual((done, seen), (READY, [("ask", 0, 0), ("stream", 1, 2)]))
        self.assertEqual(steps.asked, [("http://h/m", {"poll_ms": 0})])
        self.assertEqual(device.current.fed, 4)

    def test_others_run_between_the_steps(self):
        self.board([("stream", i, 9) for i in range(9)] + [READY])
        turns = []

        async def other():
            while True:
                turns.append(aio.steps.ran)
                await asyncio.sleep(0)

        async def both():
            task = asyncio.create_task(other())
            await aio.check_and_update()
            task.cancel()

        asyncio.run(both())
        self.assertTrue(set(range(1, 9)) <= set(turns), turns)

    def test_cancelled_it_closes_what_is_open(self):
        steps = self.board([("stream", i, 99) for i in range(99)] + [READY])

        async def both():
            task = asyncio.create_task(aio.check_and_update())
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                return True

        self.assertTrue(asyncio.run(both()))
        self.assertEqual(steps.closed, 1)
        self.assertTrue(0 < steps.ran < 20, steps.ran)

    def test_what_only_takes_time_is_a_result(self):
        error = TransportError("dns", 5)
        steps = self.board([("ask", 0, 0), error], [{"result": "trial"}])
        done = asyncio.run(aio.check_and_update())
        want = {"result": "later", "version": "0.1", "reason": "dns", "error": error}
        self.assertEqual(done, want)
        self.assertEqual(steps.closed, 1)
        self.assertEqual(asyncio.run(aio.check_and_update()), {"result": "trial"})

    def test_every_other_error_comes_out(self):
        for error, word in (
            (ManifestError("manifest"), "manifest"), (StateError("state"), "state"),
            (MemoryError(), "memory"),
        ):  # fmt: skip
            steps = self.board([("ask", 0, 0), error])
            with self.assertRaises(OtaError) as cm:
                asyncio.run(aio.check_and_update())
            self.assertEqual(cm.exception.reason, word)
            self.assertEqual(steps.closed, 1)

    def test_watch_waits_for_an_image_on_trial(self):
        failed = []
        trial = {"result": "trial", "version": "0.2"}
        self.board([trial], [trial], [NONE], [READY],
                   every_s=1000, jitter=0, retry_s=60, spread_s=0)  # fmt: skip
        self.assertEqual(asyncio.run(aio.watch(None, "u", failed.append)), READY)
        # Soon, as often as it takes; it is no failure.
        self.assertEqual((self.slept, failed), ([0, 60, 60, 1000], []))

    def test_watch_asks_until_an_image_waits(self):
        failed = []
        steps = self.board(
            [NONE], [TransportError("dns")], [None, MemoryError()], [NONE], [READY],
            every_s=1000, jitter=0, retry_s=60, spread_s=0,
        )  # fmt: skip
        done = asyncio.run(aio.watch(None, "u", failed.append))
        self.assertEqual(done, READY)
        self.assertEqual(self.slept, [0, 1000, 60, 120, 1000])
        self.assertEqual([type(e) for e in failed], [TransportError, MemoryError])
        self.assertEqual([a[0] for a in steps.asked], ["u"] * 5)

    def test_watch_comes_back_when_a_server_wants_it(self):
        self.board(
            [TransportError("later", 900)], [TransportError("later", 30)], [NONE], [READY],
            every_s=1000, jitter=0, retry_s=60, spread_s=0,
        )  # fmt: skip
        asyncio.run(aio.watch())
        self.assertEqual(self.slept, [0, 900, 120, 1000])

    def test_watch_tells_at_once_what_poll_cannot_be(self):
        for poll in ({"every": 5}, {"every_s": "5"}, {"window": ["1", "2"]}):
            steps = self.board([READY], **poll)
            with self.assertRaises(FlashError) as got:
                asyncio.run(aio.watch())
            self.assertEqual(got.exception.args[:2], ("config", "poll." + list(poll)[0]))
            self.assertEqual((steps.asked, self.slept), ([], []))

    def test_watch_waits_for_the_window(self):
        before = aio.clock.now
        now = [1764504000]  # noon

        async def sleep(seconds):
            self.slept.append(seconds)
            now[0] += seconds

        # A clock that only goes on from a lower bound has no time of day: sure it must be.
        aio._sleep, aio.clock.now = sleep, lambda sure: now[0] if sure else 0
        try:
            self.board(
                [NONE], [READY], window=["13:00", "14:00"], spread_s=0, jitter=0, every_s=7200
            )
            asyncio.run(aio.watch())
        finally:
            aio.clock.now = before
        # An hour until it opens; two hours to the next question, which waits for tomorrow's.
        self.assertEqual(self.slept, [0, 3600, 7200, 22 * 3600])

    def test_long_sleeps_come_in_pieces(self):
        aio._sleep = self.before[2]
        slept = []

        async def sleep(seconds):
            slept.append(seconds)

        before, asyncio.sleep = asyncio.sleep, sleep
        try:
            asyncio.run(aio._sleep(8000))
        finally:
            asyncio.sleep = before
        self.assertEqual(slept, [3600, 3600, 800])


if __name__ == "__main__":
    unittest.main()
