"""The deadline of a trial: without confirm() in time the board restarts and records the reason.

Loaded on trial only. machine.Timer differs between ports:

    rp2, stm32, samd, mimxrt, esp8266   Timer(-1) is a timer of our own
    esp32 1.24                          Timer(-1) is the last hardware timer
    esp32 1.25 to 1.28                  ValueError for -1; every Timer(n) is the same timer n
    nrf                                 ValueError for -1; start() and microseconds, no init()
    others                              there is none

So the first available timer is used, the highest number first, since applications begin at 0. A
timer that an application may share is never stopped: after confirm() its callback does nothing.
If the application takes our timer, Device.feed() still notices that the time is over.
"""

from ..compat import ticks_diff, ticks_ms
from ..errors import code
from ..kv import Store
from ..modules import firmware
from ..state import TRIAL
from ..state.record import Slots

if False:  # for type checkers
    from ota_hints import Any, Callable, Device

_IDS = (-1, 3, 2, 1, 0)
_CONFIRM_MS = 120000
_LOOK_US = 8000000  # nrf: its timers count 24 bits of microseconds

_device = None
_start = 0
_ms = 0  # 0: no deadline
_timer = None
_private = ""  # what our own timer says it is, "" if it may be the application's
_over = False


def _reset():
    """Set by arm(), like _schedule(): an interrupt may call these."""


def _schedule(function, arg):
    pass


def arm(device: "Device", machine: "Any", reset: "Callable") -> None:
    """Restart unless disarm() is called within config "confirm_ms" milliseconds.

    Without any timer only poll() enforces that.

    Args:
        machine: the module, or None.
        reset: function that restarts the board.
    """
    global _device, _start, _ms, _over, _reset
    disarm()
    ms = device.config.get("confirm_ms", _CONFIRM_MS)
    if not ms:
        return
    _device, _start, _ms, _over = device, ticks_ms(), ms, False
    _reset = reset
    device.deadline = poll
    given = device.config.get("timer")
    for number in _IDS if given is None else (given,):
        try:
            _begin(machine.Timer, number)
            return
        except Exception:  # each port raises its own
            pass


def disarm() -> None:
    """Cancel the deadline."""
    global _device, _ms, _timer
    _ms = 0
    if _device is not None:
        _device.deadline = None
    if _private:
        try:
            # If its repr has changed, the application has set it.
            if repr(_timer) == _private:
                _timer.deinit()  # type: ignore[attr-defined]
        except Exception:
            pass
    _device = _timer = None


def poll() -> None:
    """Restart if the time is over; called by Device.feed()."""
    if _ms and ticks_diff(ticks_ms(), _start) >= _ms:
        late()


def late(timer: "Any" = None) -> None:
    """Record the reason and restart: the time is over."""
    global _ms
    if not _ms:
        return  # confirmed meanwhile
    _ms = 0
    try:
        # If power goes here, the try counts without its reason.
        _note()
    except Exception:
        pass  # the try is counted; lack of memory or flash must not keep the image running
    _reset()


def _begin(kind, number):
    global _timer, _private, _schedule
    if hasattr(kind, "init"):
        timer = kind(number)
        timer.init(period=_ms, mode=kind.ONE_SHOT, callback=late)
        _private = repr(timer) if number < 0 else ""
    else:
        _schedule = firmware("micropython").schedule
        timer = kind(number, period=min(_LOOK_US, _ms * 1000), mode=kind.PERIODIC, callback=_tick)
        timer.start()
        _private = ""
    _timer = timer


def _tick(timer):
    # In an interrupt (nrf): no memory may be allocated, so no flash is written from here.
    global _over
    if not _ms:
        timer.stop()
    elif ticks_diff(ticks_ms(), _start) >= _ms:
        if _over:
            _reset()
        _over = True
        try:
            _schedule(late, timer)
        except Exception:
            pass  # reset at the next tick


def _note():
    # The application may be interrupted within the store: read it anew from flash, as a boot
    # would. The board restarts afterwards.
    _device.feed()
    store = Store(_device.region("kv"))
    store.mount()
    slots = Slots(store, _device.component, _device.strategy_name)
    record = slots.load()
    if record.state == TRIAL:
        record.reason = code("deadline")
        slots.save(record)
        store.sync()
