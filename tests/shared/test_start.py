"""From power-on to the application: image format x strategy x fault x port, each ending in the
old or the new application, in few enough starts, with its reason."""

import unittest

import ota
import ports
from explore import Run, explore
from faults import EFFECTS
from nor import PowerCut
from ota import boot, device, errors, modules, state
from ota.boot import attempt, trial
from ota.errors import FlashError, StateError
from packer import Package
from ports import Board, Restart, Vfs, app_of, image
from slow import SAMPLE, some

STRATEGIES = ("ab", "pingpong", "inplace")
FORMATS = ("romfs", "lfs2")


def package(strategy, new, old, version="0.2", floor=0):
    """A package that leads from old to new, and back."""
    if strategy == "inplace":
        back = Package(old, new, "0.1", ordered=True).data()
        return Package(new, old, version, ordered=True, behind=back, floor=floor).data()
    return Package(new, None, version, floor=floor).data()


def confirms(board):
    trial.confirm()


def hangs(board):
    board.timers.fire()
    trial.confirm()  # no timer: it gets so far


def raises(error):
    def app(board):
        raise error

    return app


APPS = {
    "good": confirms,
    "hang": hangs,
    "import": raises(ImportError("no module named 'telemetry'")),
    "syntax": raises(SyntaxError("invalid syntax")),
    "mpy": raises(ValueError("incompatible .mpy file")),
    "memory": raises(MemoryError("memory allocation failed, allocating 99999 bytes")),
    "exit": raises(SystemExit()),
    "driver": raises(OSError(19)),
    "odd": raises(BaseException("odd")),
    "generator": raises(GeneratorExit()),
}
# (what 0.2 does, the reason it leaves, starts until 0.1 runs: one per try, one that gives up,
# one that runs it)
STARTS = (
    ("import", "exception", 5),
    ("syntax", "exception", 5),
    ("mpy", "exception", 5),
    ("memory", "memory", 5),
    ("exit", "exception", 5),
    ("driver", "exception", 5),
    ("odd", "exception", 5),
    ("generator", "exception", 5),
    ("nothing", "main", 5),
    ("hang", "deadline", 5),
    ("damaged", "mount", 1),
)


def no_class(app):
    raise AttributeError("'module' object has no attribute 'VfsRom'")


def only(name, error):
    """A fault of the file system for one of the images."""

    def fault(app):
        if app[0] == name:
            raise error

    return fault


class Case(unittest.TestCase):
    board = None

    def tearDown(self):
        self.off()

    def off(self):
        if self.board:
            self.board.close()
            self.board = None

    def made(self, strategy, kind, app, port="rp2", old="old", floor=0, factory=b"", **options):
        """A board with 0.1, and 0.2 that does `app` received."""
        self.off()
        one, two = image(kind, old, "0.1"), image(kind, app, "0.2")
        rig = ports.rig(strategy, one, factory)
        self.board = Board(rig, port, apps=APPS, **options)
        self.images = one, two
        self.board.off()
        rig.boot()
        rig.install(package(strategy, two, one, floor=floor))
        return self.board

    def ends(self, board, app, reason, version, starts, name="IDLE"):
        """It runs `app` after so many starts, with that reason, and does so ever after."""
        self.assertEqual(board.on(), app)
        self.assertEqual(board.starts, starts)
        for _ in range(2):
            status = ota.status()
            self.assertEqual(
                (status["state"], status["reason"], status["version"]), (name, reason, version)
            )
            self.assertEqual(status["code"], errors.code(reason))
            before = board.rig.nor.ops
            self.assertEqual(board.on(), app)
        self.assertEqual(board.rig.nor.ops, before)


class TestTable(Case):
    def test_every_fault_of_an_image_with_each_strategy(self):
        for i, (app, reason, starts) in enumerate(STARTS):
            for j, strategy in some(enumerate(STRATEGIES)):
                for kind in FORMATS if app == "damaged" else (FORMATS[(i + j) % 2],):
                    with self.subTest(app=app, strategy=strategy, kind=kind):
                        board = self.made(strategy, kind, app)
                        self.ends(board, ("old", "0.1"), reason, "0.1", starts)
                        self.assertTrue(board.rig.runs(self.images[0]))

    def test_a_good_image_is_kept_on_every_port(self):
        for i, port in enumerate(ports.PORTS):
            strategy, kind = STRATEGIES[i % 3], FORMATS[i % 2]
            with self.subTest(port=port, strategy=strategy, kind=kind):
                board = self.made(strategy, kind, "good", port)
                self.ends(board, ("good", "0.2"), "", "0.2", 1)
                self.assertTrue(board.rig.runs(self.images[1]))

    def test_a_deadline_is_kept_on_every_port_with_a_timer(self):
        for i, port in enumerate(ports.PORTS):
            strategy, kind = STRATEGIES[i % 3], FORMATS[i % 2]
            with self.subTest(port=port, strategy=strategy, kind=kind):
                board = self.made(strategy, kind, "hang", port)
                if port in ("out of timers", "none"):
                    # No deadline, but the application starts.
                    self.ends(board, ("hang", "0.2"), "", "0.2", 1)
                elif port == "nrf":
                    self.nrf(board)
                else:
                    self.ends(board, ("old", "0.1"), "deadline", "0.1", 5)

    def nrf(self, board):
        # Its timer looks at the time now and then; the first look of late leaves the rest to
        # the scheduler, which this application does not let run.
        now = [0]
        looks = []

        def hang(board):
            for _ in range(40):
                now[0] += 8000
                looks.append(now[0])
                board.timers.fire()

        board.apps = dict(APPS, hang=hang)
        deadline = modules.load("boot.deadline")
        kept = deadline.ticks_ms, deadline.firmware
        deadline.ticks_ms = lambda: now[0]
        deadline.firmware = lambda name: _Micropython
        try:
            self.assertEqual(board.on(), ("old", "0.1"))
        finally:
            deadline.ticks_ms, deadline.firmware = kept
        self.assertEqual((board.starts, len(looks)), (5, 3 * 16))
        self.assertEqual(ota.status()["reason"], "tries")

    def test_new_image_that_this_firmware_or_flash_cannot_mount(self):
        for strategy in STRATEGIES:
            for kind, has, mapped, text in (
                ("romfs", ("VfsLfs2",), True, "no vfs.VfsRom"),
                ("lfs2", ("VfsRom",), True, "no vfs.VfsLfs2"),
                ("romfs", ("VfsRom", "VfsLfs2"), False, "flash is not mapped"),
            ):
                with self.subTest(strategy=strategy, kind=kind, mapped=mapped):
                    # 0.1 is of the other format, which it can mount.
                    self.off()
                    one = image(FORMATS[kind == "romfs"], "old", "0.1")
                    two = image(kind, "good", "0.2")
                    options = {"vfs": Vfs(has), "mapped": mapped}
                    self.board = Board(ports.rig(strategy, one), "rp2", apps=APPS, **options)
                    self.board.off()
                    self.board.rig.boot()
                    self.board.rig.install(package(strategy, two, one))
                    self.ends(self.board, ("old", "0.1"), "mount", "0.1", 1)
                    self.assertIn(text, ota.status()["detail"])
                    self.board.rig.boot()
                    self.assertTrue(self.board.rig.runs(one))

    def test_whatever_mounting_raises(self):
        for i, error in enumerate(
            (OSError(22), OSError(5), ValueError("odd"), RuntimeError("odd"), TypeError("odd"),
             FlashError("io", 0), MemoryError("memory allocation failed"))
        ):  # fmt: skip
            strategy, kind = STRATEGIES[i % 3], FORMATS[i % 2]
            with self.subTest(error=error, strategy=strategy, kind=kind):
                board = self.made(strategy, kind, "good", vfs=Vfs(fault=only("good", error)))
                reason = "memory" if isinstance(error, MemoryError) else "mount"
                self.ends(board, ("old", "0.1"), reason, "0.1", 1)
                self.assertEqual(ota.status()["detail"], repr(error)[:48])

    def test_a_single_wrong_read_gives_nothing_up(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                left = [1]

                def once(app, left=left):
                    if left[0]:
                        left[0] -= 1
                        raise OSError(5)

                board = self.made(strategy, "lfs2", "good", vfs=Vfs(fault=once))
                self.ends(board, ("good", "0.2"), "", "0.2", 1)

    def test_neither_image_can_be_mounted(self):
        for strategy in STRATEGIES:
            for kind in FORMATS:
                with self.subTest(strategy=strategy, kind=kind):
                    board = self.made(strategy, kind, "damaged", vfs=Vfs(fault=no_class))
                    self.assertRaises(AttributeError, board.on)
                    status = ota.status()
                    # It is whole: other firmware may mount it.
                    self.assertEqual(
                        (status["state"], status["version"], status["reason"]),
                        ("IDLE", "0.1", "mount"),
                    )
                    self.assertIn("VfsRom", status["boot"])
                    self.assertTrue(board.rig.runs(self.images[0]))
                    ops = board.rig.nor.ops
                    self.assertRaises(AttributeError, board.on)
                    self.assertEqual(board.rig.nor.ops, ops)
                    board.rig.config["rescue"] = "rescue"
                    self.assertEqual(board.on(), ("rescue", ""))
                    del board.rig.config["rescue"]
                    board.vfs.fault = None
                    self.assertEqual(board.on(), ("old", "0.1"))

    def test_neither_image_but_the_factory_s(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                factory = image("romfs", "delivered", "0.1")
                fault = only("old", OSError(84))
                board = self.made(
                    strategy, "romfs", "damaged", vfs=Vfs(fault=fault),
                    factory=Package(factory, None, "0.1").data(),
                )  # fmt: skip
                self.ends(board, ("delivered", "0.1"), "mount", "0.1", 1)

    def test_factory_image_that_cannot_be_mounted_is_put_back_once(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                factory = Package(image("romfs", "damaged", "0.1"), None, "0.1").data()
                board = self.made(
                    strategy, "romfs", "damaged", vfs=Vfs(fault=only("old", OSError(84))),
                    factory=factory,
                )  # fmt: skip
                self.assertRaises(OSError, board.on)
                ops = board.rig.nor.ops
                self.assertRaises(OSError, board.on)
                self.assertRaises(OSError, board.on)
                self.assertLessEqual(board.rig.nor.ops - ops, 3)

    def test_confirmed_image_that_fails_later(self):
        # The one before it is whole: ab and pingpong have it, inplace makes it.
        for strategy in STRATEGIES:
            for fault in ("mount", "main"):
                with self.subTest(strategy=strategy, fault=fault):
                    broken = [False]

                    def later(app, broken=broken):
                        if broken[0] and app[0] == "good":
                            raise OSError(84)

                    board = self.made(strategy, "romfs", "good", vfs=Vfs(fault=later))
                    self.assertEqual(board.on(), ("good", "0.2"))
                    if fault == "mount":
                        broken[0] = True
                    else:
                        board.apps = dict(APPS, good=raises(ImportError("no module named 'main'")))
                    board.starts = 0
                    self.ends(board, ("old", "0.1"), fault, "0.1", 1 if fault == "mount" else 2)

    def test_confirmed_application_that_raises(self):
        for strategy in STRATEGIES:
            board = self.made(strategy, "romfs", "good")
            board.on()
            board.apps = dict(APPS, good=raises(OSError(19)))
            self.assertRaises(OSError, board.on)
            self.assertEqual(ota.status()["state"], "IDLE")
            board.rig.config["rescue"] = "rescue"
            self.assertEqual(board.on(), ("rescue", ""))
            board.apps = dict(APPS, good=raises(KeyboardInterrupt()))
            self.assertRaises(KeyboardInterrupt, board.on)

    def test_application_that_fails_behind_confirm_is_kept(self):
        def app(board):
            trial.confirm()
            raise OSError(19)

        board = self.made("ab", "romfs", "late")
        board.apps = dict(APPS, late=app)
        self.assertRaises(OSError, board.on)
        self.assertEqual((board.starts, ota.status()["version"]), (1, "0.2"))

    def test_ctrl_c_leads_to_the_prompt_without_a_deadline(self):
        board = self.made("ab", "romfs", "stopped")
        board.apps = dict(APPS, stopped=raises(KeyboardInterrupt()))
        self.assertRaises(KeyboardInterrupt, board.on)
        board.timers.fire()
        self.assertEqual((ota.status()["state"], ota.status()["tries"]), ("TRIAL", 2))

    def test_plug_pulled_on_trial_is_no_deadline(self):
        def pulled(board):
            trial.starts.append(0)  # nothing is done behind it
            raise PowerCut

        board = self.made("ab", "romfs", "pulled")
        board.apps = dict(APPS, pulled=pulled)
        for _ in range(3):
            self.assertRaises(PowerCut, board.on)
        self.assertEqual(board.on(), ("old", "0.1"))
        self.assertEqual(ota.status()["reason"], "tries")

    def test_main_that_catches_what_start_raises(self):
        board = self.made("ab", "romfs", "nothing")

        def imported(name, imported=board.imported):
            try:
                imported(name)
            except StateError:
                pass

        trial.__import__ = attempt.__import__ = imported
        self.ends(board, ("old", "0.1"), "main", "0.1", 5)

    def test_first_image_without_main(self):
        for kind, old in (("romfs", "nothing"), ("lfs2", "nothing"), ("raw", "old")):
            with self.subTest(kind=kind):
                self.off()
                self.board = board = Board(ports.rig("ab", image(kind, old, "0.1")))
                with self.assertRaises(StateError) as caught:
                    board.on()
                self.assertEqual(caught.exception.reason, "main")
                self.assertEqual((ota.status()["state"], ota.status()["reason"]), ("IDLE", "main"))

    def test_raw_image_where_nothing_is_mounted_goes_back(self):
        self.off()
        one, two = image("romfs", "old", "0.1"), image("raw", "good", "0.2")
        self.board = board = Board(ports.rig("ab", one), apps=APPS)
        board.off()
        board.rig.boot()
        board.rig.install(package("ab", two, one))
        self.ends(board, ("old", "0.1"), "main", "0.1", 5)

    def test_floor_keeps_the_slot_off_the_path(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                factory = image("romfs", "delivered", "0.1")
                board = self.made(
                    strategy, "romfs", "good", floor=3, factory=Package(factory, None).data()
                )
                board.on()
                ota.restore(reset=False)
                board.rig.config["rescue"] = "rescue"
                self.assertEqual(board.on(), ("rescue", ""))
                self.assertEqual(boot.vfs.mounts, {})
                del board.rig.config["rescue"]
                self.assertRaises(StateError, board.on)


class _Micropython:
    @staticmethod
    def schedule(function, arg):
        raise RuntimeError("schedule queue full")


class TestBoot(Case):
    def test_what_stops_the_boot_stage_is_told_at_the_start(self):
        board = self.made("ab", "romfs", "good")
        p = board.rig.config["partitions"]["kv"]
        p["size"] = 4096
        with self.assertRaises(FlashError) as caught:
            board.on()
        for call in (ota.status, ota.confirm):
            with self.assertRaises(FlashError) as again:
                call()
            self.assertEqual(again.exception.args, caught.exception.args)
        board.rig.config["rescue"] = "rescue"
        self.assertEqual(board.on(), ("rescue", ""))

    def test_memory_that_runs_out_in_settling(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                board = self.made(strategy, "romfs", "good")
                settle = modules.load("boot.apply")
                kept = settle.apply

                def apply(*args):
                    raise MemoryError("memory allocation failed")

                settle.apply = apply
                modules.unload, unload = _nothing, modules.unload
                try:
                    self.assertEqual(board.on(), ("old", "0.1"))
                finally:
                    settle.apply = kept
                    modules.unload = unload
                status = ota.status()
                self.assertEqual((status["state"], status["reason"]), ("IDLE", "memory"))

    def test_a_store_that_is_full_or_worn_does_not_stop_the_way_back(self):
        real = device.Device.__init__

        def init(self, *args):
            real(self, *args)
            kept = self.kv.set

            def worn(key, value):
                if key.endswith(".why"):
                    raise FlashError("full")
                return kept(key, value)

            self.kv.set = worn

        for strategy in STRATEGIES:
            for app, reason in (("import", "exception"), ("damaged", "mount")):
                with self.subTest(strategy=strategy, app=app):
                    board = self.made(strategy, "romfs", app)
                    device.Device.__init__ = init
                    try:
                        self.assertEqual(board.on(), ("old", "0.1"))
                    finally:
                        device.Device.__init__ = real
                    status = ota.status()
                    self.assertEqual((status["reason"], status["detail"]), (reason, ""))

    def test_detail_outlives_the_reset(self):
        board = self.made("ab", "romfs", "import")
        board.on()
        self.assertEqual(
            ota.status()["detail"], repr(ImportError("no module named 'telemetry'"))[:48]
        )
        # It is of that failure and no other.
        record = board.rig.device.slots.load()
        record.reason = errors.code("tries")
        device.current.slots.save(record)
        self.assertEqual(ota.status()["detail"], "")


class TestCuts(Case):
    def test_power_cut_at_every_write_of_the_way_back(self):
        count = 0
        apart = 2 if SAMPLE else 1
        for strategy in STRATEGIES:
            for app, reason in (("damaged", "mount"), ("import", "exception")):
                board = self.made(strategy, "romfs", app)
                nor = board.rig.nor
                if app != "damaged":  # the last try: what comes before is cut elsewhere
                    for _ in range(2):
                        self.assertRaises(AssertionError, board.on, 1)
                run = Run(nor, [board.on])
                self.assertTrue(board.rig.runs(self.images[0]))

                def visit(n, effect, strategy=strategy, app=app, reason=reason, board=board):
                    with self.subTest(strategy=strategy, app=app, n=n, effect=effect):
                        self.assertEqual(board.on(), ("old", "0.1"))
                        status = ota.status()
                        self.assertEqual((status["state"], status["version"]), ("IDLE", "0.1"))
                        self.assertIn(status["reason"], (reason, "tries", "digest"))
                        self.assertTrue(board.rig.runs(self.images[0]))

                count += explore(
                    nor,
                    run,
                    EFFECTS,
                    visit,
                    # Each operation in some ways, each way with every eleventh of them.
                    wanted=lambda n, effect: (n + EFFECTS.index(effect)) % (11 * apart) == 0,
                )
        self.assertTrue(count > 50 // apart)


class TestTimers(Case):
    """The application and the deadline on one board."""

    def test_confirm_leaves_the_application_s_timer_running(self):
        for port in ports.PORTS:
            if port in ("nrf", "out of timers", "none"):
                continue
            with self.subTest(port=port):
                ticks = []

                def app(board, ticks=ticks, port=port):
                    number = -1 if port in ("rp2", "stm32") else 0
                    timer = board.machine.Timer(number)
                    timer.init(period=10, mode=1, callback=ticks.append)
                    trial.confirm()
                    board.timers.fire()

                board = self.made("ab", "romfs", "busy", port)
                board.apps = dict(APPS, busy=app)
                self.assertEqual(board.on(), ("busy", "0.2"))
                self.assertEqual((board.starts, len(ticks)), (1, 1))

    def test_timer_0_of_the_application_does_not_disarm(self):
        for port in ("esp32 1.24", "esp32 1.25", "esp32-c3 1.28", "esp32 1.29"):
            with self.subTest(port=port):

                def app(board):
                    board.machine.Timer(0).init(period=10, mode=1, callback=len)
                    callback, timer = [
                        one for number, one in board.timers.set.items() if number != 0
                    ][0]
                    callback(timer)

                board = self.made("ab", "romfs", "busy", port)
                board.apps = dict(APPS, busy=app)
                self.ends(board, ("old", "0.1"), "deadline", "0.1", 5)

    def test_timer_that_is_lost_is_noticed_where_the_library_gets_control(self):
        deadline = modules.load("boot.deadline")
        kept = deadline.ticks_ms
        try:
            for i, call in enumerate(
                (
                    trial.confirm,
                    ota.status,
                    lambda: device.get().feed(),
                )
            ):
                with self.subTest(call=i):
                    now = [0]
                    deadline.ticks_ms = lambda now=now: now[0]

                    def app(board, call=call, now=now):
                        for number in list(board.timers.set):
                            board.timers.set[number] = (lambda timer: None), None
                        board.timers.fire()
                        now[0] += 119999
                        ota.status()
                        now[0] += 1
                        call()

                    board = self.made("ab", "romfs", "taken", "esp32-c2 1.28")
                    board.apps = dict(APPS, taken=app)
                    self.ends(board, ("old", "0.1"), "deadline", "0.1", 5)
        finally:
            deadline.ticks_ms = kept

    def test_configuration_chooses_the_timer_and_may_want_none(self):
        chosen = []

        def app(board):
            chosen.append(list(board.timers.set))
            trial.confirm()

        for config in ({"timer": 2}, {"confirm_ms": 0}, {"timer": 7}):
            board = self.made("ab", "romfs", "busy", "esp32 1.25")
            board.rig.config.update(config)
            board.apps = dict(APPS, busy=app)
            self.assertEqual(board.on(), ("busy", "0.2"))
        self.assertEqual(chosen, [[2], [], []])


def _nothing(*args):
    pass


class TestDoubles(unittest.TestCase):
    def test_images_are_of_their_kind(self):
        from ota import image as parser
        from ota.flash import Region
        from ota.flash.ram import RamFlash

        for kind in FORMATS:
            data = image(kind, "good", "0.2")
            flash = RamFlash(16384)
            flash.program(0, data)
            region = Region(flash, 0, 16384)
            self.assertEqual((parser.kind(region), parser.size(region)), (kind, len(data)))
            self.assertEqual(app_of(data), ("good", "0.2"))

    def test_restart_is_no_exception(self):
        self.assertFalse(issubclass(Restart, Exception))
        self.assertEqual(state.TRIAL, 4)
