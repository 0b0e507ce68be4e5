"""Bad input on the command line: what is said, word by word, and that nothing is left behind.

The files are in `broken/`, each below what its user reads.
"""

import re
from pathlib import Path

import pytest

from search.boundary import run_verb
from search.cli import app
from spaces.errors import shown

STUDY = 'name = "small"\nspace = "./space.toml"\n[data]\nsource = "digits"\n'
SPACE = 'model = "mlp"\n[parameters]\n'
UNITS = 'units = { type = "int", low = 32, high = 128, log = true, step = 2 }\n'
DROPOUT = 'dropout = { type = "float", low = 0.0, high = 0.5 }\n'
BROKEN = Path(__file__).with_name("broken")


def cases(kind, beginning):
    """(message, text) of each file of a kind."""
    text = (BROKEN / f"{kind}.txt").read_text(encoding="utf-8")
    for case in re.split(r"^(?=error: )", text, flags=re.MULTILINE)[1:]:
        lines = case.splitlines(keepends=True)
        told = 1 + next((number for number, line in enumerate(lines[1:]) if not line.startswith("  ")), len(lines) - 1)
        body = "".join(lines[told:]).removesuffix("\n")
        yield "".join(lines[:told]), body.replace("...\n", beginning) if body.startswith("...\n") else body


STUDIES, SPACES = list(cases("studies", STUDY)), list(cases("spaces", SPACE))


@pytest.fixture
def say(tmp_path, monkeypatch, capsys):
    """Runs the program on a study and a space; what it says, once it is sure that nothing is left behind."""
    monkeypatch.chdir(tmp_path)

    def run(*words, study=STUDY, space=SPACE + UNITS + DROPOUT):
        files = {"study.toml": study, "space.toml": space}
        for name, text in files.items():
            Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
        code = run_verb(app, words or ("run", "study.toml"))
        said = capsys.readouterr()
        assert (code, said.out) == (2, "")
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
        assert all(letter.isprintable() or letter == "\n" for letter in said.err)
        return said.err

    return run


def agree(said, message):
    """Whether it is the message; "..." stands for words of the catalog, of Python's TOML reader or of Typer."""
    start, dots, end = message.partition("...")
    return said.startswith(start) and said.endswith(end) if dots else said == message


def test_there_are_more_than_a_hundred_broken_files_and_no_two_alike():
    assert len({text for _, text in STUDIES}) == len(STUDIES) >= 65
    assert len({text for _, text in SPACES}) == len(SPACES) >= 40


@pytest.mark.parametrize(("message", "text"), STUDIES, ids=[shown(message)[:70] for message, _ in STUDIES])
def test_a_broken_study_file_is_told_word_by_word_and_leaves_nothing_behind(say, message, text):
    said = say(study=text)
    assert agree(said, message), said


@pytest.mark.parametrize(("message", "text"), SPACES, ids=[shown(message)[:70] for message, _ in SPACES])
def test_a_broken_space_file_is_told_word_by_word_and_leaves_nothing_behind(say, message, text):
    said = say(space=text)
    assert agree(said, message), said
    if said.startswith("error: space.toml"):
        assert say("spaces", "check", "./space.toml", space=text) == said


NO_TEXT = [
    (b'name = "sm\x00all"\n', "is no text (a NUL character, line 1)"),
    (b'name = "small"\n# \xff\n', "is no UTF-8 text (byte 0xff, line 2)"),
    ("name = 'small'\n".encode("utf-16"), "is no UTF-8 text (byte 0xff, line 1)"),
    (b"#" * 1_000_001, "is larger than 1 MB; a file of this kind takes a few kB"),
    (b"a = " + b"[" * 3000, "is nested too deeply"),
    (b"a = " + b"{ b = " * 3000, "is nested too deeply"),
    (b"a." * 100 + b"a = 1\n", "is nested too deeply"),
    (b"a = " + b"9" * 5000, "holds a number of more digits than can be read"),
]


@pytest.mark.parametrize(("content", "law"), NO_TEXT, ids=[law for _, law in NO_TEXT])
@pytest.mark.parametrize("file", ["study", "space"])
def test_a_file_that_is_no_text_or_too_large_is_told_in_one_line(say, file, content, law):
    assert say(**{file: content}) == f"error: {file}.toml: {law}\n"


SET = [
    ("budget", '--set: must be section.key=value (came "budget")'),
    ("=3", '--set: must be section.key=value (came "=3")'),
    ("budget.=3", '--set: must be section.key=value (came "budget.=3")'),
    ("budget.trials=0", "--set: budget.trials: must be at least 1 (came 0)"),
    ("budget.trials=many", '--set: budget.trials: must be a whole number (came "many")'),
    ("budget.trials=", '--set: budget.trials: must be a whole number (came "")'),
    ("budget.trails=3", '--set: budget: unknown key "trails"; did you mean "trials"?'),
    ("bugdet.trials=3", '--set: unknown key "bugdet"; did you mean "budget"?'),
    ("name.first=x", "--set: name.first: name is no table"),
    ("name=../x", '--set: name: must be 1 to 64 letters, digits, dots, dashes and underscores, the first a letter '
     'or digit (came "../x")'),
    ("hyperband.max_resource=1e3", "--set: hyperband.max_resource: must be a whole number (came 1000.0)"),
    ("hyperband=3", "--set: hyperband: must be a table (came 3)"),
    ("sampler.name=tpee", '--set: sampler.name: unknown word "tpee"; did you mean "tpe"?'),
    ("data.source=digts", '--set: data.source: unknown source "digts"; did you mean "digits"?; a folder is written '
     '"./name"'),
    ("objective.monitor=\x1b[31m", '--set: objective.monitor: unknown word "\\u001b[31m"; there are "val_accuracy", '
     '"val_loss" and "val_f1"'),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), SET, ids=[shown(change) for change, _ in SET])
def test_a_bad_change_on_the_command_line_is_told_as_one(say, change, message):
    assert say("run", "study.toml", "--set", change) == f"error: {message}\n"


OPTIONS = [
    ("leaderbord digits", "No such command 'leaderbord'. Did you mean 'leaderboard'?"),
    ("run", "Missing argument ..."),
    ("run study.toml --trails 3", "No such option: --trails (Possible options: --trials)"),
    ("run study.toml another", "Got unexpected extra argument...another)"),
    ("run study.toml --trials", "Option '--trials' requires an argument."),
    ("run study.toml --trials 0", "Invalid value for '--trials': ..."),
    ("run study.toml --minutes soon", "Invalid value for '--minutes': ..."),
    ("run study.toml --minutes nan", "Invalid value for '--minutes': ..."),
    ("run study.toml --seed -1", "Invalid value for '--seed': ..."),
    ("run study.toml --seed 4294967296", "--set: sampler.seed: must be at most 4294967295 (came 4294967296)"),
    ("run study.toml --workers 2000", "Invalid value for '--workers': ..."),
    ("run study.toml --backend keras", "--backend: unknown ('keras'); Keras has tensorflow, jax, torch"),
    ("run study.toml --set data.source=no.npz", "data.source: no such file or folder (...no.npz is not there)"),
    ("run nowhere.toml", "nowhere.toml: no such file"),
    ("run stdy.toml", 'stdy.toml: no such file; did you mean "study.toml"?'),
    ("run digts", 'digts: no study of this name; the catalog has ...; did you mean "digits"?'),
    ("spaces show mpl", 'mpl: no space of this name; the catalog has ...; did you mean "mlp"?'),
    ("leaderboard digits", "...runs/studies.db: there is no store here; toprung run makes one, "
     "--out names another folder"),
    ("status digits", "...runs/studies.db: there is no store here; toprung run makes one, "
     "--out names another folder"),
    ("dashboard --port 70000", "Invalid value for '--port': ..."),
    ("dashboard --host 0.0.0.0", "--host must be 127.0.0.1 (host = 0.0.0.0); from elsewhere, use a tunnel: "
     "ssh -L 8080:127.0.0.1:8080 HOST"),
    ("explain small one", "Invalid value for 'TRIAL': ..."),
    ("status --store nonsense", "nonsense: is not the URL of a store; write sqlite:///PATH or "
     "postgresql+psycopg://USER@HOST/DATABASE"),
    ("status --store sqlite://", "sqlite://: a store in memory would be lost; name a file: "
     "sqlite:///runs/studies.db"),
    ("status --store redis://h", "redis: no such kind of store; a store is sqlite:///PATH or "
     "postgresql+psycopg://USER@HOST/DATABASE"),
    ("run study.toml --store postgresql+psycopg://u:secret@h/db", "--store: every user of this machine can see ..."),
    ("status --store postgresql+psycopg://h/db?password=secret", "--store: every user of this machine can see ..."),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), OPTIONS, ids=[words for words, _ in OPTIONS])
def test_a_bad_option_is_one_line(say, words, message):
    said = say(*words.split())
    assert agree(said, f"error: {message}\n"), said
    assert said.count("\n") == 1
    assert "secret" not in said
