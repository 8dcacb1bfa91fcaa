"""Take one protective step out of the store at a time: some test must notice."""

import unittest

import pytest
import test_kv
import test_kv_cut
from nor import Misuse
from ota.flash import Region
from ota.kvlog import ACTIVE, ERASING, VOID, Log
from ota.kvmount import Mount
from ota.kvring import Ring


def _fails(case, method):
    """True if the test method of case fails."""
    result = unittest.TestResult()
    try:
        case(method).run(result)
    except Misuse:
        return True
    return bool(result.failures or result.errors)


def _without(monkeypatch, kind, within=None):
    mark = Ring.mark
    inside = []
    if within:
        whole = getattr(Mount, within)

        def wrapped(self, *args):
            inside.append(1)
            try:
                return whole(self, *args)
            finally:
                inside.pop()

        monkeypatch.setattr(Mount, within, wrapped)

    def filtered(self, at, what, a, b, c):
        if what != kind or (within and not inside):
            mark(self, at, what, a, b, c)

    monkeypatch.setattr(Ring, "mark", filtered)


def _no_void(m):
    _without(m, VOID)


def _no_copy_of_the_last_record(m):
    m.setattr(Mount, "_again", lambda self: None)


def _no_second_active(m):
    _without(m, ACTIVE, "_erase")


def _no_erasing(m):
    _without(m, ERASING)


def _no_seed(m):
    m.setattr(Log, "seed", lambda self, at: 0)


def _no_read_back(m):
    m.setattr(Region, "_same", lambda self, offset, data: True)


def _no_mending(m):
    real = Log.read_header

    def strict(self, at, magic):
        head = bytearray(4)
        self.region.read(at, head)
        before = bytes(self.region.driver.data[self.region.offset + at :][:16])
        found = real(self, at, magic)
        return found if found and bytes(self._head) == before else None

    m.setattr(Log, "read_header", strict)


def _no_skip_after_a_failed_program(m):
    real = Mount.recover

    def forgetful(self):
        self.end = 0
        real(self)

    m.setattr(Mount, "recover", forgetful)


@pytest.mark.parametrize(
    ("remove", "case", "method"),
    [
        (_no_void, test_kv_cut.TestDirected, "test_a_torn_record_does_not_come_back"),
        (
            _no_copy_of_the_last_record,
            test_kv_cut.TestDirected,
            "test_a_record_once_seen_stays",
        ),
        (
            _no_second_active,
            test_kv_cut.TestDirected,
            "test_weak_active_and_a_source_half_erased",
        ),
        (
            _no_erasing,
            test_kv_cut.TestDirected,
            "test_an_erase_that_spares_the_birth_header_is_done_again",
        ),
        (_no_seed, test_kv.TestDamage, "test_records_of_another_life_or_place_are_not_taken"),
        (_no_read_back, test_kv.TestDamage, "test_programs_that_do_not_stick_or_fail"),
        (_no_mending, test_kv.TestDamage, "test_a_flipped_bit_costs_one_record"),
        (
            _no_skip_after_a_failed_program,
            test_kv.TestDamage,
            "test_programs_that_do_not_stick_or_fail",
        ),
    ],
)
def test_removing_a_step_is_noticed(monkeypatch, remove, case, method):
    assert not _fails(case, method)
    with monkeypatch.context() as m:
        remove(m)
        assert _fails(case, method)
