import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from records import record, study
from test_reports_page import EVIL, full, winner

from reports.diagnosis import write
from reports.errors import ReportError
from reports.repository import write_repository_page


@pytest.fixture
def folder(tmp_path):
    write(winner(subject="trial 0, retrained"), tmp_path / "diagnosis.npz")
    return tmp_path


def test_a_repository_page_tells_what_the_html_page_does(folder):
    write_repository_page(full(), folder, folder / "digits.md")
    text = (folder / "digits.md").read_text()
    heads = re.findall(r"^##+ (.*)$", text, flags=re.MULTILINE)
    assert heads == [
        *(
            "Leaderboard",
            "How the search went",
            "What was trained",
            "What the parameters did",
            "Validation against test",
            "The winner",
        ),
        *("Predictions on the test split", "Samples", "Training", "Weights", "Failures", "To run it again"),
    ]
    assert "Trial 0 won: 94.00% validation accuracy" in text
    assert "loss is not finite at epoch 2 | 2 trials | 2, 3" in text
    assert "max_resource = 27" in text


def test_its_pictures_lie_beside_it_each_with_words(folder):
    write_repository_page(full(), folder, folder / "a page.md")
    shown = re.findall(r"!\[(.*)\]\(a%20page_files/(.*)\)", (folder / "a page.md").read_text())
    assert len(shown) == 14
    assert sorted(name for _, name in shown) == sorted(file.name for file in (folder / "a page_files").iterdir())
    for words, name in shown:
        assert len(words) > 40
        ElementTree.fromstring((folder / "a page_files" / name).read_text())


def test_every_table_has_as_many_cells_in_each_row(folder):
    write_repository_page(full(), folder, folder / "digits.md")
    for block in (folder / "digits.md").read_text().split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_nothing_from_a_study_is_taken_for_markup(tmp_path):
    evil = f"{EVIL} | ](javascript:x) ```\n# head"
    trials = [record(0, val_accuracy=0.9, params={"optimizer": evil, evil: 1}), record(1, "failed", reason=evil)]
    write_repository_page(study(trials, name=evil, data={evil: evil}), tmp_path, tmp_path / "digits.md")
    outside = re.sub(r"(?s)^(`{3,}).*?^\1$", "", (tmp_path / "digits.md").read_text(), flags=re.MULTILINE)
    assert "<script" not in outside
    assert not re.search(r"(?<!\\)\]\(javascript", outside)
    assert re.findall(r"^# ", outside, flags=re.MULTILINE) == ["# "]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ReportError, match="cannot be made"):
        write_repository_page(full(), tmp_path, tmp_path / "no" / "digits.md")


def test_a_folder_in_place_of_the_file_is_an_error_and_no_pictures_are_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page").mkdir()
    for place in ("page", "."):
        with pytest.raises(ReportError, match="cannot be written: it is a folder"):
            write_repository_page(study([]), tmp_path, Path(place))
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
