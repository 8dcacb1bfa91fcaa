"""The virtual board: NOR rules, resets, power cuts, its terminal, and what stays shut out."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from otatool.cli import main as otatool
from otatool.errors import ToolError
from otatool.sim import Board, child, create, firmware
from otatool.sim.board import _control as c

KB = 1024
SLOT, FS = 0x40000, 0xC0000
LAYOUT = {
    "product": "demo",
    "flash": {"nor": {"driver": "virtual:Nor", "base": 0x08000000}},
    "partitions": {
        "firmware": {"flash": "nor", "offset": 0, "size": 0x40000},
        "active": {"flash": "nor", "offset": SLOT, "size": 0x40000},
        "fs": {"flash": "nor", "offset": FS, "size": 0x40000},
    },
}
PROMPT = ">>> "
# What the tests type at the prompt: try an expression, print the errno it raises.
HELPERS = b"""\
import virtual

nor = virtual.Nor()


def errno(call, *args):
    try:
        call(*args)
    except OSError as e:
        return e.errno
"""


@pytest.fixture
def make(tmp_path):
    """make(main, ...) -> path of a new board whose main.py is that."""

    def make(main="", boot="", lib=False, files=None, contents=None, **geometry):
        path = tmp_path / "board.flash"
        rom = firmware.build(LAYOUT, boot, main, lib, {"helpers.py": HELPERS, **(files or {})})
        create(path, LAYOUT, firmware=rom, contents=contents, **geometry)
        return path

    return make


def ask(board, line):
    """Type a line at the prompt; return what it prints."""
    at = len(board.console)
    board.send(line + "\r")
    board.wait(PROMPT)
    return bytes(board.console[at:]).decode().partition("\r\n")[2].rpartition(PROMPT)[0].strip()


def mpremote(board, *args, ok=True):
    """Run the real mpremote against the board's pty."""
    run = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.pty, *args],
        capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert not ok or run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


# -- start ---------------------------------------------------------------------------------


def test_a_line_is_waited_for_to_its_end(make):
    main = "import time\nprint('said', end='')\ntime.sleep(0.5)\nprint(' more')\nprint('next')"
    with Board(make(main)) as board:
        board.wait_line("said")
        assert b"said more\n" in board.console
        board.wait_line("next")
        with pytest.raises(TimeoutError, match="not seen, after 0.1 s"):
            board.wait_line("said", 0.1)


def test_boot_runs_boot_then_main_then_the_prompt(make):
    with Board(make("print('main', x)", "print('boot')\nx = 7")) as board:
        board.wait("boot\nmain 7\n")
        board.wait(PROMPT)
        assert ask(board, "x") == "7"
        assert ask(board, "sorted(dir())") == "['__file__', '__name__', 'x']"
        assert ask(board, "import machine; machine.reset_cause() == machine.PWRON_RESET") == "True"
        assert ask(board, "len(machine.unique_id())") == "8"


def test_firmware_comes_before_the_filesystem(make):
    with Board(make("print('main of rom')")) as board:
        board.wait(PROMPT)
        ask(board, "f = open('/boot.py', 'w'); f.write('print(\"boot of fs\")'); f.close()")
        ask(board, "f = open('/main.py', 'w'); f.write('print(\"main of fs\")'); f.close()")
        board.send("\x04")
        board.wait("soft reboot")
        board.wait(PROMPT)
        text = bytes(board.console).rpartition(b"soft reboot")[2]
        assert b"boot of fs\nmain of rom\n" in text
        assert b"main of fs" not in text


def test_exception_in_main_lands_in_the_prompt(make):
    with Board(make("1 // 0")) as board:
        board.wait("ZeroDivisionError")
        board.wait(PROMPT)
        assert ask(board, "1 + 1") == "2"


def test_exception_in_boot_leaves_out_main(make):
    with Board(make("print('main')", "1 // 0")) as board:
        board.wait("ZeroDivisionError")
        board.wait(PROMPT)
        assert b"\nmain\n" not in board.console


def test_heap_is_as_large_as_asked(make):
    with Board(make(), heap="64K") as board:
        board.wait(PROMPT)
        ask(board, "import gc; gc.collect()")
        assert 32 * KB < int(ask(board, "gc.mem_free()")) < 64 * KB
    with pytest.raises(ToolError):
        Board("any", heap="much")


def test_library_runs_from_firmware(make):
    with Board(make(lib=True)) as board:
        board.wait(PROMPT)
        assert "/rom/ota/version" in ask(board, "import ota.version; ota.version")
        line = "from ota.flash import Region; r = Region(__import__('virtual').Nor(), 0, 8)"
        assert ask(board, line) == ""
        assert ask(board, "bytes(r.buffer())[:3]") == r"b'\xd2\xcd1'"


def test_firmware_is_the_same_every_time():
    firmware.compile_py.cache_clear()
    first = firmware.build(LAYOUT)
    firmware.compile_py.cache_clear()
    assert firmware.build(LAYOUT) == first
    assert b"host_tools" not in first and os.path.expanduser("~").encode() not in first


# -- flash ---------------------------------------------------------------------------------


def test_flash_keeps_the_nor_rules(make):
    with Board(make(program=8)) as board:
        board.wait(PROMPT)
        ask(board, "from helpers import *")
        assert ask(board, f"errno(nor.program, {SLOT}, b'12345678')") == ""
        before = board.counters()
        assert ask(board, f"errno(nor.program, {SLOT}, b'12345678')") == "5"  # not erased
        assert ask(board, f"errno(nor.program, {SLOT + 4}, b'12345678')") == "22"  # misaligned
        assert ask(board, f"errno(nor.program, {SLOT + 8}, b'1234567')") == "22"
        assert ask(board, f"errno(nor.erase, {SLOT}, 100)") == "22"
        assert ask(board, f"errno(nor.erase, {SLOT + 8}, 4096)") == "22"
        assert ask(board, "errno(nor.read, nor.size, bytearray(1))") == "22"  # outside
        assert ask(board, "errno(nor.read, -1, bytearray(1))") == "22"
        assert ask(board, "errno(nor.buffer, nor.size, 1)") == "22"
        assert board.counters() == before
        assert board.flash[SLOT : SLOT + 9] == b"12345678\xff"
        ask(board, "b = bytearray(4)")
        assert ask(board, f"nor.read({SLOT + 2}, b); b") == "bytearray(b'3456')"
        assert ask(board, f"bytes(nor.buffer({SLOT}, 2))") == "b'12'"
        ask(board, f"nor.erase({SLOT}, 8192)")
        assert board.flash[SLOT : SLOT + 9] == b"\xff" * 9
        after = board.counters()
        assert after["erases"] == before["erases"] + 1
        assert after["wear"][SLOT // 4096 : SLOT // 4096 + 3] == [1, 1, 0]
        assert ask(board, "(nor.size, nor.sector_size, nor.program_size)") == "(1048576, 4096, 8)"


def test_counters_outlive_the_run(make):
    path = make(program=256)
    with Board(path) as board:
        board.wait(PROMPT)
        ask(board, "from helpers import *")
        before = board.counters()
        ask(board, f"nor.program({SLOT}, bytes(512))")
    after = board.counters()
    assert after["programs"] == before["programs"] + 1
    assert after["programmed_bytes"] == before["programmed_bytes"] + 512
    with Board(path, measure=True) as board:
        board.wait(PROMPT)
        assert board.counters()["programs"] == after["programs"]
        assert board.counters()["boots"] == 2
        ask(board, f"import virtual; virtual.Nor().erase({SLOT}, 4096)")
        assert 1 * KB < board.counters()["peak_heap"] < 96 * KB


def test_writing_to_mapped_flash_is_a_crash_that_changes_nothing(make):
    with Board(make()) as board:
        board.wait(PROMPT)
        board.send(f"__import__('virtual').Nor().buffer({SLOT}, 1)[0] = 0\r")
        board.wait("sim: crashed with signal")
        board.wait(PROMPT)
        assert board.flash[SLOT] == 0xFF
        assert board.counters()["crashes"] == 1


def test_module_runs_in_place_from_a_slot(make):
    big = b"DATA = b'" + b"0123456789" * 4000 + b"'\n\n\ndef answer():\n    return 42\n"
    slot = firmware.romfs({"app.py": big})
    with Board(make(contents={"active": slot}), heap="32K") as board:
        board.wait(PROMPT)
        ask(board, "import virtual, vfs, sys, uctypes")
        ask(board, f"vfs.mount(vfs.VfsRom(virtual.Nor().buffer({SLOT}, {len(slot)})), '/app')")
        ask(board, "sys.path.insert(0, '/app')")
        # 40000 bytes of constant in a heap of 32 KB: it stays where it is.
        assert ask(board, "import app; (app.answer(), len(app.DATA), app.__file__)") == (
            "(42, 40000, '/app/app.mpy')"
        )
        start = "uctypes.addressof(virtual.Nor().buffer(0, 1))"
        at = int(ask(board, f"uctypes.addressof(app.DATA) - {start}"))
        assert bytes(board.flash[at : at + 10]) == b"0123456789"


# -- resets --------------------------------------------------------------------------------


def test_reset_starts_a_new_process_on_the_same_flash(make):
    with Board(make()) as board:
        board.wait(PROMPT)
        ask(board, "x = 1; from helpers import *")
        ask(board, f"nor.program({SLOT}, b'survives')")
        ask(board, "import machine; machine.reset()")
        assert ask(board, "import machine; machine.reset_cause() == machine.HARD_RESET") == "True"
        assert "NameError" in ask(board, "x")
        assert bytes(board.flash[SLOT : SLOT + 8]) == b"survives"
        assert board.counters()["resets"] == 1
        assert board.counters()["power_cuts"] == 0


def test_soft_reset_by_key_call_and_exit(make):
    with Board(make()) as board:
        board.wait(PROMPT)
        board.send("\x04")
        board.wait("MPY: soft reboot")
        board.wait(PROMPT)
        assert ask(board, "import machine; machine.reset_cause() == machine.SOFT_RESET") == "True"
        ask(board, "machine.soft_reset()")
        ask(board, "import sys; sys.exit()")
        assert board.counters()["soft_resets"] == 3
        assert board.counters()["boots"] == 4


def test_watchdog_resets_unless_fed(make):
    main = """
import machine, time
if machine.reset_cause() == machine.WDT_RESET:
    print("by the watchdog")
else:
    dog = machine.WDT(timeout=1000)
    for _ in range(5):
        time.sleep_ms(300)
        dog.feed()
    print("fed")
    while True:
        pass
"""
    with Board(make(main)) as board:
        board.wait("fed")
        board.wait("by the watchdog")
        assert board.counters()["wdt_resets"] == 1


@pytest.mark.parametrize("busy", ["while True: pass", "time.sleep(60)", "pass"])
def test_timer_calls_back_whatever_the_board_does(make, busy):
    main = f"""
import machine, time
def late(timer):
    print("deadline")
    machine.reset()
if machine.reset_cause() == machine.PWRON_RESET:
    stopped = machine.Timer(-1)
    stopped.init(mode=machine.Timer.ONE_SHOT, period=250, callback=lambda t: print("never"))
    stopped.deinit()
    machine.Timer(-1).init(mode=machine.Timer.ONE_SHOT, period=500, callback=late)
    {busy}
else:
    print("after the reset")
"""
    with Board(make(main)) as board:
        board.wait("deadline")
        board.wait("after the reset")
        assert b"never" not in board.console


# -- power ---------------------------------------------------------------------------------

PROGRAM_TWICE = f"""
import virtual
nor = virtual.Nor()
print("start", bytes(nor.buffer({SLOT}, 16)))
if nor.buffer({SLOT}, 1)[0] == 255:
    nor.program({SLOT}, b"01234567")
    nor.program({SLOT} + 8, b"89abcdef")
    nor.erase({SLOT}, 4096)
"""


@pytest.mark.parametrize(
    ("cut", "effect", "found"),
    [
        (1, "before", b"\xff" * 16),
        (1, "middle", b"0123" + bytes([ord("4") | 0x5A]) + b"\xff" * 11),
        (1, "after", b"01234567" + b"\xff" * 8),
        (2, "before", b"01234567" + b"\xff" * 8),
        (2, "after", b"0123456789abcdef"),
        (3, "before", b"0123456789abcdef"),
        (3, "middle", b"\xff" * 16),
    ],
)
def test_power_cut_leaves_what_was_done_so_far(make, cut, effect, found):
    path = make(PROGRAM_TWICE)
    with Board(path, cut=5) as board:  # first the filesystem, whose format takes 4
        board.wait("start")
        board.wait("start")
    raw = bytearray(path.read_bytes())
    raw[SLOT : SLOT + 4096] = b"\xff" * 4096
    path.write_bytes(raw)
    with Board(path, cut=cut, cut_effect=effect, once=True) as board:
        board.wait_off()
    assert f"flash operation {cut}" in board.left
    assert path.read_bytes()[SLOT : SLOT + 16] == found
    if (cut, effect) == (3, "middle"):
        raw = path.read_bytes()
        assert raw[SLOT : SLOT + 2048] == b"\xff" * 2048


def test_board_restarts_after_a_cut_and_cuts_again(make):
    main = PROGRAM_TWICE + f"nor.erase({SLOT}, 4096)\nprint('clean')\n"
    with Board(make(main), cut=[6, 1], cut_effect="middle") as board:
        board.wait("start")
        board.wait("start")  # after the first cut: half of an operation of main.py
        board.wait("start")  # after the second, at the first operation of that boot
        board.wait("clean")
        board.wait(PROMPT)
        assert ask(board, "import machine; machine.reset_cause() == machine.PWRON_RESET") == "True"
        assert board.counters()["power_cuts"] == 2


def test_cut_while_formatting_is_mended_at_the_next_boot(make):
    for cut in (1, 2, 3, 4):
        with Board(make(), cut=cut) as board:
            board.wait(PROMPT)
            assert ask(board, "import os; os.listdir('/')") == "['rom']"
            assert board.counters()["power_cuts"] == 1


def test_power_cycle_at_any_moment(make):
    main = """
import os
print("main")
n = 0
while n < 200:
    n += 1
    with open("/new", "w") as f:
        f.write(str(n))
    os.rename("/new", "/n")
"""
    with Board(make(main)) as board:
        for n in range(1, 6):
            board.wait("main\n")
            board.wait(lambda n=n: board.counters()["operations"] > 37 * n)
            board.power_cycle()
        board.wait("main\n")
        board.wait(PROMPT)
        assert ask(board, "open('/n').read()") == "'200'"
        assert board.counters()["boots"] == 6


def test_ctrl_c_leads_to_the_prompt_at_any_moment(make):
    main = """
import os
print("main")
while True:
    with open("/new", "w") as f:
        f.write("x")
    os.rename("/new", "/n")
"""
    with Board(make(main)) as board:
        for _ in range(25):
            board.wait("main\n")
            board.send("\x03")
            board.wait(PROMPT)
            board.power_cycle()
        assert board.counters()["crashes"] == 0


# Each is a program that Ctrl-C ends; all of them leave files and timers as they should be.
BUSY = {
    "files": """
import machine, os
def log(timer):
    with open("/log", "w") as f:
        f.write("y" * 300)
def work():
    timer = machine.Timer(-1)
    timer.init(period=3, callback=log)
    print("go")
    n = 0
    try:
        while True:
            n += 1
            with open("/new%d" % (n % 3), "w") as f:
                f.write("x" * (n * 37 % 900))
            os.rename("/new%d" % (n % 3), "/n%d" % (n % 3))
    finally:
        timer.deinit()
""",
    "timers": """
import gc, machine, time
def work():
    timers = [machine.Timer(-1) for _ in range(3)]
    print("go")
    n = 0
    try:
        while True:
            n += 1
            for timer in timers:
                timer.init(mode=n % 2, period=1 + n % 3, callback=lambda timer: bytes(50))
            gc.collect()
            time.sleep_ms(n % 2)
    finally:
        for timer in timers:
            timer.deinit()
""",
    "sleep": """
import time
def work():
    print("go")
    time.sleep(60)
""",
}


@pytest.mark.parametrize("busy", BUSY)
def test_ctrl_c_ends_a_program_and_nothing_else(make, busy):
    moments = random.Random(busy)
    with Board(make(BUSY[busy])) as board:
        board.wait(PROMPT)
        for n in range(60):
            at = len(board.console)
            board.send("work()\r")
            board.wait("go\n")
            time.sleep(moments.uniform(0, 0.01))
            board.send("\x03")
            if moments.random() < 0.3:
                time.sleep(moments.uniform(0, 0.005))
                board.send("\x03")
            board.wait("KeyboardInterrupt: \n")
            board.wait(PROMPT)
            said = bytes(board.console[at:]).decode()
            for trouble in ('File "virtual"', "OSError", "FATAL", "in thread", "MPY: soft reboot"):
                assert trouble not in said, said
            board.send(f"print('end', {n})\r")  # the second may be typed at the prompt
            board.wait(f"end {n}\n")
            board.wait(PROMPT)
        assert board.counters()["crashes"] == 0


def test_ctrl_c_is_a_character_to_a_program_that_wants_it(make):
    main = "import micropython, sys\nmicropython.kbd_intr(-1)\nprint(ord(sys.stdin.read(1)))"
    with Board(make(main)) as board:
        board.send("\x03")
        board.wait("3\n")


def test_ctrl_c_ends_a_callback_and_the_program(make):
    main = """
import machine, time
def stuck(timer):
    print("stuck")
    while True:
        pass
machine.Timer(-1).init(mode=machine.Timer.ONE_SHOT, period=10, callback=stuck)
while True:
    time.sleep(60)
"""
    with Board(make(main)) as board:
        board.wait("stuck\n")
        board.send("\x03")
        board.wait("KeyboardInterrupt")
        board.wait(PROMPT)
        assert ask(board, "1 + 1") == "2"


def test_timers_outlive_callbacks_that_fail_stop_and_start_others(make):
    main = """
import machine
def fails(timer):
    1 // 0
def starts(timer):
    last.init(mode=machine.Timer.ONE_SHOT, period=100, callback=lambda t: print("last"))
    timer.deinit()
    other.deinit()
last, other = machine.Timer(-1), machine.Timer(-1)
other.init(period=600, callback=lambda t: print("never"))
machine.Timer(-1).init(mode=machine.Timer.ONE_SHOT, period=50, callback=fails)
machine.Timer(-1).init(period=50, callback=starts)
n = 0
def counts(timer):
    global n
    n += 1
    print("n", n)
    if n == 30:
        timer.deinit()
        print("end")
machine.Timer(-1).init(period=30, callback=counts)
"""
    with Board(make(main)) as board:
        board.wait("ZeroDivisionError")
        board.wait("last\n")
        board.wait("end\n")
        assert board.console.count(b"last\n") == 1
        assert board.console.count(b"ZeroDivisionError") == 1
        assert b"never" not in board.console


def test_what_follows_ctrl_c_reaches_the_prompt(make):
    main = """
import time
print("main")
try:
    while True:
        pass
except KeyboardInterrupt:
    time.sleep_ms(800)
"""
    with Board(make(main)) as board:
        board.wait("main\n")
        board.send("\r\x03\r\x01")
        board.wait("raw REPL; CTRL-B to exit")
        board.send("\x02")
        board.wait(PROMPT)
        assert ask(board, "1 + 1") == "2"


def test_killed_launcher_takes_the_board_along(make):
    path = make("print('up')\nwhile True: pass")
    code = (
        "import sys, time; from otatool.sim import Board; b = Board(sys.argv[1]).start()\n"
        "b.wait('up'); print('up', flush=True); time.sleep(60)"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    assert launcher.stdout.readline() == b"up\n"
    with pytest.raises(ToolError, match="already running"):
        Board(path).start()
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    launcher.stdout.close()
    with Board(path) as board:  # the lock is free only when the board's process is gone
        assert board.counters()["boots"] == 2


# -- the host stays outside ----------------------------------------------------------------


def test_no_path_of_the_host_is_reachable(make, tmp_path):
    (tmp_path / "stray.py").write_text("")
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        with Board(make()) as board:
            board.wait(PROMPT)
            assert ask(board, "import os, sys, vfs; os.listdir('/')") == "['rom']"
            assert ask(board, "[m[1] for m in vfs.mount()]") == "['/rom', '/']"
            assert ask(board, "os.getcwd()") == "'/'"
            assert "ENOENT" in ask(board, "open('/etc/passwd')")
            assert "ENOENT" in ask(board, f"os.stat({str(tmp_path)!r})")
            assert "ImportError" in ask(board, "import stray")
            assert ask(board, "print(os.getenv('HOME'), os.getenv('PATH'))") == "None None"
            assert ask(board, "sys.path") == "['', '.frozen', '/rom', '/rom/lib', '/lib']"
    finally:
        os.chdir(here)


# -- mpremote ------------------------------------------------------------------------------


def test_a_link_replaces_links_only(make, tmp_path):
    flash = make("print('on')")
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("precious", "folder", "pipe", "nowhere/link"):
        with pytest.raises(ToolError, match="choose another name for --link"):
            Board(flash, link=tmp_path / name).start()
    assert precious.read_bytes() == b"keep"
    (tmp_path / "tty").symlink_to(precious)
    with Board(flash, link=tmp_path / "tty") as board:
        assert os.readlink(tmp_path / "tty") == board.pty
    assert not (tmp_path / "tty").is_symlink()
    assert precious.read_bytes() == b"keep"


def test_sizes_that_are_none_are_said(tmp_path, capsys):
    for size in ("5x", "-1", "1.5M", ""):
        with pytest.raises(SystemExit):
            otatool(["sim", str(tmp_path / "f"), "--create", "l.json", "--size", size])
        assert "is not a size: bytes, like 2048, 0x800, 2K or 1M" in capsys.readouterr().err


def test_other_commands_need_no_terminals(tmp_path):
    code = (
        "import sys\n"
        # These know what to do on Windows, but look at the system's name.
        "import mpremote.transport_serial, mpremote.romfs, cryptography, rich.console\n"
        "for name in ('fcntl', 'termios', 'pty', 'tty', 'resource'): sys.modules[name] = None\n"
        "from otatool import cli\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )

    def run(*args):
        done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    name = str(tmp_path / "key")
    assert run("keygen", name, "--type", "hmac")[0] == 0
    assert run("show", name + ".pub.json")[0] == 0
    layout = {"partitions": {
        "firmware": {"offset": 0, "size": 0x80000}, "fs": {"offset": 0x80000, "size": 0x10000}
    }}  # fmt: skip
    (tmp_path / "layout.json").write_text(json.dumps(layout))
    flash = str(tmp_path / "flash")
    assert run("sim", flash, "--create", str(tmp_path / "layout.json"))[0] == 0
    status, said = run("sim", flash)
    assert (status, "on Windows in WSL" in said) == (1, True), said


def test_mpremote_works_as_with_a_real_board(make, tmp_path):
    source = tmp_path / "data.bin"
    source.write_bytes(bytes(range(256)) * 20)
    (tmp_path / "hello.py").write_text("GREETING = 'hello'\n")
    package = {"version": "1", "urls": [["hello/__init__.py", "hello.py"]]}
    (tmp_path / "package.json").write_text(json.dumps(package))
    main = "import time\nprint('running')\nwhile True:\n  time.sleep(1)"
    with Board(make(main), link=tmp_path / "tty") as board:
        board.wait("running\n")
        assert os.readlink(tmp_path / "tty") == board.pty
        assert mpremote(board, "resume", "exec", "print(6 * 7)") == "42\n"  # interrupts main.py
        mpremote(board, "resume", "fs", "cp", str(source), ":/data.bin")
        back = tmp_path / "back.bin"
        mpremote(board, "resume", "fs", "cp", ":/data.bin", str(back))
        assert back.read_bytes() == source.read_bytes()
        assert "Done" in mpremote(
            board, "resume", "mip", "install", str(tmp_path / "package.json")
        )
        code = "import hello; print(hello.GREETING, hello.__file__)"
        assert mpremote(board, "resume", "exec", code) == "hello /lib/hello/__init__.py\n"
        listed = mpremote(board, "resume", "mount", str(tmp_path), "exec",
                          "import os; print('data.bin' in os.listdir())")  # fmt: skip
        assert listed.endswith("True\n")
        assert "ZeroDivisionError" in mpremote(board, "resume", "exec", "1 // 0", ok=False)
    assert not os.path.lexists(tmp_path / "tty")


def test_mpremote_soft_resets_without_running_main(make):
    with Board(make("print('main')\nwhile True: pass", "print('boot')")) as board:
        board.wait("main\n")
        at = len(board.console)
        assert mpremote(board, "exec", "print(machine)", ok=False)  # the soft reset cleared names
        assert mpremote(board, "exec", "print(1)") == "1\n"
        text = bytes(board.console[at:])
        assert text.count(b"boot\n") >= 2
        assert b"main\n" not in text
        mpremote(board, "reset")
        board.wait("boot\nmain\n")
        assert board.counters()["soft_resets"] >= 2
        assert board.counters()["resets"] == 1


# -- files and command ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fs": None}, "needs a partition"),
        ({"fs": {"flash": "nor", "offset": 0x30000}}, 'each of "partitions" is'),
        ({"fs": {"flash": "nor", "offset": "64k", "size": 5}}, 'each of "partitions" is'),
        ({"fs": [0, 5]}, 'each of "partitions" is'),
        ({"fs": {"flash": "nor", "offset": 0x30000, "size": 0x40000}}, "overlap"),
        ({"fs": {"flash": "nor", "offset": 0xC0000, "size": 0x50000}}, "does not fit"),
        (
            {"fs": {"flash": "nor", "offset": 0xC0010, "size": 0x10000}},
            "begin and end on a sector",
        ),
    ],
)
def test_impossible_layouts_are_refused(tmp_path, changes, says):
    parts = {**LAYOUT["partitions"], **changes}
    layout = {**LAYOUT, "partitions": {n: p for n, p in parts.items() if p}}
    with pytest.raises(ToolError, match=says):
        create(tmp_path / "b", layout)
    assert not list(tmp_path.iterdir())


def test_contents_must_fit_their_partition(tmp_path):
    with pytest.raises(ToolError, match="do not fit"):
        create(tmp_path / "b", LAYOUT, contents={"active": bytes(0x40001)})
    with pytest.raises(ToolError, match="no partition"):
        create(tmp_path / "b", LAYOUT, contents={"backup": b""})
    create(tmp_path / "b", LAYOUT, contents={0xA0000: b"by offset"})
    assert (tmp_path / "b").read_bytes()[0xA0000:0xA000A] == b"by offset\xff"


def test_board_without_firmware_says_so(tmp_path):
    create(tmp_path / "b", LAYOUT, firmware=b"none")
    with pytest.raises(ToolError, match="no firmware"):
        Board(tmp_path / "b").start()
    with pytest.raises(ToolError, match="not a virtual board"):
        Board(tmp_path / "c").start()


def test_command_makes_and_runs_a_board(tmp_path, capfd):
    flash, layout, main = (tmp_path / name for name in ("b.flash", "layout.json", "main.py"))
    layout.write_text(json.dumps(LAYOUT))
    main.write_text("print('hello')\nimport machine\nmachine.reset()\n")
    (tmp_path / "boot.py").write_text("")
    files = ["--main", str(main), "--boot", str(tmp_path / "boot.py"), "--no-lib"]
    assert otatool(["sim", str(flash), "--create", str(layout), *files]) == 0
    assert otatool(["sim", str(flash), "--create", str(layout)]) == 1
    run = subprocess.run(
        [sys.executable, "-m", "otatool.cli", "sim", str(flash), "--once", "--report"],
        capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert run.returncode == 0
    assert run.stdout.startswith("hello\n")
    assert "resets             1" in run.stdout
    assert "off: reset" in run.stderr


def test_control_page_numbers_are_distinct_and_the_same_everywhere():
    words = [value for name, value in vars(c).items() if name.startswith("W_")]
    assert len(set(words)) == len(words)
    assert max(words) < c.WORDS
    numbers = {n[1:]: v for n, v in vars(child).items() if hasattr(c, n[1:])}
    assert len(numbers) == 14
    assert numbers == {name: getattr(c, name) for name in numbers}
