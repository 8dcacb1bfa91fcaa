"""The words that the board and its launcher share, and the board's way to end its own run.

Both sides import this file: the launcher for the numbers, the board for the functions. The
shared page is the file FLASH.board: 64-bit words of the machine's own byte order from 0, a
sector of 0xFF at FF_OFFSET, one 32-bit erase count per sector from WEAR_OFFSET.
"""

MAGIC = 0x3153_4D49_5341_544F  # "OTASIMS1" as bytes
FF_OFFSET = 4096
FF_SIZE = 4096
WEAR_OFFSET = 8192
WORDS = 64

# What the board is; written once when it is made.
W_MAGIC = 0
W_SIZE = 1
W_SECTOR = 2
W_PROGRAM = 3
W_ROM_OFFSET = 4
W_ROM_SIZE = 5
W_FS_OFFSET = 6
W_FS_SIZE = 7
W_ID = 8
W_FORMATTED = 9
# Counters over the board's whole life.
W_BOOTS = 16
W_RESETS = 17
W_SOFT_RESETS = 18
W_WDT_RESETS = 19
W_POWER_CUTS = 20
W_CRASHES = 21
W_PROGRAMS = 22
W_PROGRAMMED = 23
W_ERASES = 24
# This run: flash operations so far, and at which of them power goes (0: never).
W_OPERATIONS = 32
W_CUT_AT = 33
W_CUT_EFFECT = 34
W_TIMING = 35
W_PEAK = 36
W_COLLECT = 37  # collect garbage before the heap is measured
W_PINS = 38  # one bit for each pin that is held: connected to what its pull is not
# This boot.
W_REQUEST = 40
W_CAUSE = 41
W_SKIP_MAIN = 42
W_STARTED = 43
W_WDT_MS = 44
W_WDT_FEEDS = 45
W_TICKING = 46
W_INTERRUPT = 47
W_ALARM_MS = 48  # from when W_ALARMS was counted up to the next tick, plus 1; 0: none
W_ALARMS = 49
W_TICK = 50  # address of the function that calls the timers back
W_AGAIN = 51  # it took Ctrl-C, which was for the program

# W_REQUEST: what the board asks its launcher to do with it.
RESET = 1
SOFT_RESET = 2
POWER_CUT = 3

# W_INTERRUPT: Ctrl-C, from the launcher to the board's process and what became of it.
TAKEN = 0
ASKED = 1
REFUSED = 2

# W_TICKING: what became of the tick that was scheduled.
IDLE = 0
WAITS = 1
RUNS = 2

# W_CAUSE: machine.reset_cause(), numbered as on ESP32.
CAUSE_PWRON = 1
CAUSE_HARD = 2
CAUSE_WDT = 3
CAUSE_SOFT = 5

# W_CUT_EFFECT: what of the operation still happens when power goes.
BEFORE = 0
MIDDLE = 1
AFTER = 2

words = None
wear = None
flash = None
view = None
ones = None
bell = None


def attach(control: int, mapped: int, programmed: int, descriptor: int) -> None:
    """Take the addresses of the shared page and of the flash, as read and as programmed, and the
    descriptor of what makes the process look at the page."""
    global words, wear, flash, view, ones, bell
    import uctypes

    bell = descriptor
    page = {
        "words": (uctypes.ARRAY | 0, WORDS | uctypes.UINT64),
        "size": uctypes.UINT64 | 8 * W_SIZE,
        "sector": uctypes.UINT64 | 8 * W_SECTOR,
    }
    page = uctypes.struct(control, page)
    words = page.words
    sectors = page.size // page.sector
    wear = {"wear": (uctypes.ARRAY | 0, sectors | uctypes.UINT32)}
    wear = uctypes.struct(control + WEAR_OFFSET, wear).wear
    view = memoryview(uctypes.bytearray_at(mapped, page.size))
    flash = memoryview(uctypes.bytearray_at(programmed, page.size))
    ones = memoryview(uctypes.bytearray_at(control + FF_OFFSET, FF_SIZE))


def stop(request: int) -> None:
    """End this run of the board; the launcher does the rest. Never returns."""
    import time

    words[W_REQUEST] = request
    while True:
        try:
            while True:
                # A board without power calls no timer back: unlike sleep_ms() this only
                # sleeps, and so long that nothing is looked for behind it.
                time.sleep_us(1_000_000_000)
        except BaseException:
            pass  # nor does it hear Ctrl-C
