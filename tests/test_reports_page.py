import re
import tomllib
from html.parser import HTMLParser

import numpy as np
import pytest
from records import record, retrained, study

from reports.contents import contents
from reports.diagnosis import diagnose
from reports.notes import trial_notes
from reports.page import page, write_report
from reports.repository import markdown
from reports.reproduction import reproduction
from spaces.toml import to_toml
from studies.plan import fingerprint, load_study

EVIL = "<script>alert(1)</script>\" onload='x' {{ 7*7 }} =cmd|"


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def full():
    trials = [
        record(0, val_accuracy=0.94, test_accuracy=0.93, params={"units": 64}, history={"val_accuracy": (0.9,)}),
        record(1, "pruned", 3, val_accuracy=0.8, params={"units": 32}),
        record(2, "failed", 1, reason="loss is not finite at epoch 2"),
        record(3, "failed", 1, reason="loss is not finite at epoch 2"),
        record(4, "failed", 0),
    ]
    return study(trials, [retrained(0, seed, test_accuracy=0.93) for seed in (5, 6)])


def winner(*names, **more):
    shares = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.6, 0.4]])
    history = {"train_loss": (0.9, 0.7, 0.6, 0.5), "val_accuracy": (0.5, 0.7, 0.8, 0.8)}
    weights = [(more.pop("layer", "conv"), "kernel", np.ones((3, 3, 1, 4)))]
    inputs = more.pop("inputs", np.zeros((4, 5, 5)))
    return diagnose([0, 0, 1, 1], shares, names or ("cat", "dog"), inputs, weights, history=history, **more)


@pytest.fixture(scope="module")
def text_with_winner():
    return page(contents(full(), winner(EVIL, EVIL, subject=EVIL, layer=EVIL)))


@pytest.mark.parametrize("with_winner", [False, True])
def test_a_page_is_well_formed_and_needs_nothing_from_elsewhere(with_winner, text_with_winner):
    text = text_with_winner if with_winner else page(contents(full()))
    tags = Tags(text)
    assert tags.open == []
    assert "script" not in tags.tags
    sources = [value for name, value in tags.attributes if name in ("src", "href", "data", "action")]
    assert sources
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert not re.search(r"url\(|@import|https?://", text)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in tags.attributes


def test_every_picture_is_described_in_words(text_with_winner):
    described = [value for name, value in Tags(text_with_winner).attributes if name == "alt"]
    assert len(described) == 14
    assert all(len(value) > 40 for value in described)


def test_a_page_tells_what_won_what_failed_and_what_it_takes_to_run_it_again():
    text = page(contents(full()))
    assert "Trial 0 won: 94.00% validation accuracy" in text
    assert re.search(r"loss is not finite at epoch 2</td><td>2 trials</td><td[^>]*>2, 3<", text)
    assert "no reason was recorded" in text
    assert "sha256:5f3a" in text
    assert re.search(r"seed, retraining</dt><dd>5, 6<", text)
    assert "max_resource = 27" in text


def test_nothing_from_a_study_is_taken_for_markup():
    trials = [
        record(0, val_accuracy=0.9, params={"optimizer": EVIL, EVIL: 1}, history={"val_accuracy": (0.9,)}),
        record(1, "failed", reason=EVIL),
    ]
    text = page(contents(study(trials, name=EVIL, plan={EVIL: EVIL}, space={"x": EVIL}, data={EVIL: EVIL}, uuid=EVIL)))
    tags = Tags(text)
    assert "script" not in tags.tags
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert "49" not in text.split("<h2>Charts")[0].split("<main>")[1]


def test_a_reason_turns_no_text_round_and_steers_no_terminal():
    failed = study([record(0, val_accuracy=0.9), record(1, "failed", reason="no file \u202egnp.exe \x1b[2J")])
    for text in (page(contents(failed)), trial_notes(failed)[1]):
        assert "no file \ufffdgnp.exe \ufffd" in text


def test_a_page_tells_all_of_the_winner_where_a_diagnosis_is_given():
    text = page(contents(full(), winner(subject="trial 0, retrained with seed 5")))
    heads = re.findall(r"<h[23]>([^<]+)</h", text.split("The winner")[1].split("<h2>Failures")[0])
    assert heads == ["Predictions on the test split", "Samples", "Training", "Weights"]
    assert "trial 0, retrained with seed 5" in text
    assert "Accuracy 75.00% on 4 test examples" in text
    assert re.search(r"<td>dog</td><td>cat</td><td class=\"number\">1</td><td class=\"number\">50.0%</td>", text)
    assert "The winner" not in page(contents(full()))


def test_nothing_from_a_diagnosis_is_taken_for_markup(text_with_winner):
    tags = Tags(text_with_winner)
    assert "script" not in tags.tags
    assert not [name for name, _ in tags.attributes if name.startswith("on")]


@pytest.mark.parametrize("state", ["running", "paused", "pruned", "complete", "failed"])
def test_a_page_can_be_made_of_any_study(state):
    text = page(contents(study([record(0, state, 0)], state="searching", plan={}, space={}, data={})))
    assert Tags(text).open == []


def test_a_study_without_trials_has_a_page_that_says_so():
    assert "No trial has been trained yet." in page(contents(study()))


def test_a_long_leaderboard_is_cut_and_says_where_the_rest_is():
    trials = [record(i, val_accuracy=i / 100) for i in range(40)]
    text = page(contents(study(trials)))
    assert "The best 30 of 40 trials" in text
    assert "toprung leaderboard digits --csv FILE" in text


def test_the_note_below_a_leaderboard_tells_of_gaps_where_there_are_any():
    without = contents(study([record(0, val_accuracy=0.9)]))
    assert without.board_note.endswith("test numbers never choose.")
    assert "The gap is" in contents(study([record(0, val_accuracy=0.9, test_accuracy=0.8)])).board_note


def test_a_page_replaces_the_old_one(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(full(), tmp_path, path)
    assert path.read_text().startswith("<!DOCTYPE html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_the_plan_is_given_as_toml_that_reads_back_the_same():
    plan = {
        "name": 'quote " back \\ slash \x7f é 😀\n',
        "minutes": 10.0,
        "tiny": 1e-07,
        "trust": True,
        "empty": [],
        "classes": [3, 6],
        "training": {"loss": "x", "deep": {"er": {"a b": 1}}},
        "enqueue": [{"units": 128, "when": {"optimizer": ["sgd"]}}, {"units": 64}],
        "mixed": [1, {"a": 2}],
    }
    assert tomllib.loads(to_toml({**plan, "none": None})) == plan


def test_versions_are_those_that_trained_the_winner_where_they_are_known(tmp_path):
    assert {"Python", "keras", "optuna"} <= set(reproduction(full()).versions)
    write_report(full(), tmp_path, tmp_path / "report.html")
    assert "where this report was written" in (tmp_path / "report.html").read_text()
    (tmp_path / "best.json").write_text('{"versions": {"keras": "9.8.7"}}')
    write_report(full(), tmp_path, tmp_path / "report.html")
    assert "keras 9.8.7 (which trained the winner)" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", ["digits", "xor", "mnist_cnn"])
def test_the_two_files_of_a_report_are_the_study_again(tmp_path, name):
    before = load_study(name)
    told = study(plan=before.plan.model_dump(mode="json"), space=before.space.model_dump(mode="json"), name=name)
    for file, text in reproduction(told).files.items():
        (tmp_path / file).write_text(text)
    again = load_study(str(tmp_path / f"{name}.toml"))
    assert fingerprint(again.plan, again.space) == fingerprint(before.plan, before.space)
    assert again.plan.budget == before.plan.budget
    assert again.plan.enqueue == before.plan.enqueue


def test_a_report_of_an_imported_study_does_not_tell_how_to_run_it_again():
    told = contents(study([record(0), record(1)], plan={}, space={}, data={}))
    assert "run it again" not in page(told) + markdown(told, "pictures")[0]


def test_a_report_does_not_tell_whose_folder_the_study_lay_in():
    told = study([record(0, val_accuracy=0.9)], data={"hash": "x", "base": "/home/me"})
    assert "/home/me" not in page(contents(told))


def test_the_head_of_the_page_says_when_the_study_began_and_whether_it_ended():
    told = page(contents(study([record(0), record(1)])))
    assert "2 trials by val_accuracy, begun 2026-03-01 12:00 UTC, finished" in told
    assert "UTC, not finished" in page(contents(study([record(0)], state="searching")))
    assert "UTC, imported" in page(contents(study([record(0)], plan={})))


def test_every_colour_of_the_page_has_another_one_for_dark_screens():
    style = page(contents(study())).partition("<style>")[2].partition("</style>")[0]
    light, dark = (re.findall(r"--(\w+): #", block) for block in re.findall(r":root {(.*?)}", style, re.DOTALL))
    assert light == dark
    others = [line for line in style.splitlines() if "#" in line and "--" not in line]
    assert [line.split("{")[0].strip() for line in others] == ["figure img"]
