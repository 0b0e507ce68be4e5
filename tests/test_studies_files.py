"""What of a file is on the disk when it has its name."""

import os
import stat

import pytest

from reports.files import replace
from studies.writing import replace_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "report.html"


@pytest.fixture
def synced(path, monkeypatch):
    """What was brought to the disk: the file with its size, or its folder; and whether it had its name then."""
    found = []

    def note(handle):
        about = os.fstat(handle)
        found.append(("folder" if stat.S_ISDIR(about.st_mode) else about.st_size, path.exists()))

    monkeypatch.setattr("os.fsync", note)
    return found


def test_what_must_outlast_a_power_cut_is_on_the_disk_before_it_has_its_name_and_its_folder_after(path, synced):
    replace_file(path, [b"first ", b"second"], durable=True)
    assert synced == [(len(b"first second"), False), ("folder", True)]


def test_what_need_not_waits_for_no_disk(path, synced):
    replace_file(path, [b"first ", b"second"], durable=False)
    assert (synced, path.read_bytes()) == ([], b"first second")


def test_the_files_of_reports_outlast_a_power_cut(path, synced):
    replace(path, "a report")
    assert synced == [(len("a report"), False), ("folder", True)]
