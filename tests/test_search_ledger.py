import threading
import time

import pytest

import search.ledger
from search.ledger import Ledger


def test_changes_are_written_in_the_order_in_which_they_were_given():
    written = []
    with Ledger(written.extend) as ledger:
        for change in range(1000):
            ledger.add(change)
        ledger.settle()
        assert written == list(range(1000))


def test_what_comes_while_the_disk_is_busy_is_written_together():
    busy, free, commits = threading.Event(), threading.Event(), []

    def commit(changes):
        busy.set()
        free.wait()
        commits.append(list(changes))

    with Ledger(commit) as ledger:
        ledger.add("first")
        busy.wait()
        for change in ("second", "third", "fourth"):
            ledger.add(change)
        free.set()
        ledger.settle()
    assert commits == [["first"], ["second", "third", "fourth"]]


def test_what_comes_soon_is_written_together_and_at_once_when_someone_waits_for_it(monkeypatch):
    monkeypatch.setattr(search.ledger, "_GATHER_SECONDS", 60.0)
    commits, begun = [], time.monotonic()
    with Ledger(commits.append) as ledger:
        for change in ("first", "second", "third"):
            ledger.add(change)
        ledger.settle()
    assert commits == [["first", "second", "third"]]
    assert time.monotonic() - begun < 30


def test_leaving_writes_what_is_left():
    written = []
    with Ledger(written.extend) as ledger:
        ledger.add("last")
    assert written == ["last"]


def test_what_waits_while_a_change_fails_is_not_written_after_it():
    """Else the store would have a later step of a trial without the one before."""
    tried, busy, free = [], threading.Event(), threading.Event()

    def commit(changes):
        tried.append(list(changes))
        busy.set()
        free.wait()
        raise OSError("the disk is full")

    with Ledger(commit) as ledger:
        ledger.add("first")
        busy.wait()
        ledger.add("second")
        free.set()
    assert tried == [["first"]]


def test_nothing_is_written_after_a_change_that_could_not_be_and_whoever_waits_is_told():
    written = []

    def commit(changes):
        if "bad" in changes:
            raise OSError("the disk is full")
        written.extend(changes)

    with Ledger(commit) as ledger:
        ledger.add("good")
        ledger.settle()
        ledger.add("bad")
        with pytest.raises(OSError, match="full"):
            ledger.settle()
        with pytest.raises(OSError, match="full"):
            ledger.add("after")
    assert written == ["good"]
