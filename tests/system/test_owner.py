"""Whose a lock or a temporary file is, and whether that process still runs."""

from dataclasses import replace

from ofa_bert.system.owner import Owner


def test_this_process_lives_and_is_me():
    mine = Owner.mine()
    assert mine.is_me()
    assert mine.alive()
    assert Owner.from_json(mine.to_json()) == mine


def test_a_process_of_another_start_boot_or_none_is_gone():
    mine = Owner.mine()
    gone = 2**22 - 1  # the largest number a process of Linux can have; none had it
    assert replace(mine, start="1").alive() is False
    assert replace(mine, boot="another").alive() is False
    assert replace(mine, pid=gone, start="").alive() is False


def test_a_process_of_another_machine_is_not_known():
    assert replace(Owner.mine(), host="elsewhere").alive() is None
