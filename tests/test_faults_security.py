"""Hostile files and names: nothing of theirs is run, nothing leaves its folder, and no memory is filled."""

import gzip
import io
import json
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import run, stored

from reports.tables import FORMULA_STARTS
from search.boundary import run_verb
from search.cli import app
from search.datasets import open_source, search_splits, trees
from search.datasets.trees import open_tree
from search.devices import Slot, worker_environment
from search.errors import SearchError
from studies.plan import DataPlan

CANARY = "canary"


def refusal(base, source, **plan):
    data = DataPlan(source=source, **plan)
    with pytest.raises(SearchError) as caught:
        search_splits(open_source(data, base), data)
    assert caught.value.exit_code == 2
    return str(caught.value)


# Pickles and arrays


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def written(text):
    """A pickle in the words of protocol 0, as one would write it by hand."""
    return text.encode() + b"."


CALLS = {
    "os.system": pickle.dumps(Calls(os.system, f"touch {CANARY}")),
    "subprocess": pickle.dumps(Calls(subprocess.check_output, ["touch", CANARY])),
    "eval": pickle.dumps(Calls(eval, f"open('{CANARY}', 'w')")),
    "exec in a batch": pickle.dumps({b"data": Calls(exec, f"open('{CANARY}', 'w')"), b"labels": [1]}),
    "open": pickle.dumps(Calls(open, CANARY, "w")),
    "a nested call": pickle.dumps([{"a": (Calls(os.mkdir, CANARY),)}]),
    "protocol 0": written(f"cos\nsystem\n(S'touch {CANARY}'\ntR"),
    "INST": written(f"(S'touch {CANARY}'\nios\nsystem\n"),
    "OBJ": b"(cos\nsystem\nU\x0ctouch canaryo.",
    "numpy.load": written("cnumpy\nload\n(S'/etc/passwd'\ntR"),
    "numpy's runstring": written('cnumpy.testing._private.utils\nrunstring\n(S\'open("canary", "w")\'\n}tR'),
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x09os.system\x93\x8c\x0ctouch canary\x85R.",
    "extension": b"\x80\x02\x82\x01.",
    "a persistent id": b"Pcanary\n.",
    "a buffer": b"\x80\x05\x97.",
    "objects in an array": pickle.dumps({b"data": np.array([[Calls(os.mkdir, CANARY)]], object), b"labels": [1]}),
    "texts in an array": pickle.dumps({b"data": np.array([["a"]]), b"labels": [1]}),
    "an array that calls": b"\x80\x02cnumpy\nndarray\n(I1000000000000\ntR.",
    "a set": pickle.dumps({b"data": {1}, b"labels": [1]}),
}


@pytest.mark.parametrize("content", CALLS.values(), ids=CALLS)
def test_a_cifar_batch_runs_nothing(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar").mkdir()
    (tmp_path / "cifar" / "data_batch_1").write_bytes(content)
    assert "data_batch_1: cannot be read as a CIFAR batch" in refusal(tmp_path, "./cifar")
    (tmp_path / "cifar" / "data_batch_1").unlink()
    for name in ("train", "test", "meta"):
        (tmp_path / "cifar" / name).write_bytes(content)
    assert "cannot be read as a CIFAR batch" in refusal(tmp_path, "./cifar")
    assert [path.name for path in tmp_path.iterdir()] == ["cifar"]


def test_the_opcodes_that_are_read_are_those_of_real_batches():
    from search.datasets.cifar import _OPCODES

    rows = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 300], b"batch_label": b"1", b"filenames": [b"a"]}
    for protocol in (3, 4):
        used = {opcode.code.encode("latin-1") for opcode, _, _ in pickletools.genops(pickle.dumps(rows, protocol))}
        assert used <= set(_OPCODES)


EVIL = np.array([Calls(os.mkdir, CANARY)] * 40, object)


def test_an_npz_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("x_train", "y_train"):
        arrays = {"x_train": np.zeros((40, 2)), "y_train": np.arange(40) % 2, name: EVIL}
        np.savez("evil.npz", **arrays)
        assert "arrays of Python objects cannot" in refusal(tmp_path, "./evil.npz")
    header = b"{'descr': __import__('os').mkdir('canary'), 'fortran_order': False, 'shape': (1,)}\n"
    with zipfile.ZipFile("evil.npz", "w") as archive:
        for name in ("x_train", "y_train"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    assert "evil.npz: y_train:" in refusal(tmp_path, "./evil.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.npz"]


def test_a_report_runs_nothing_that_lies_in_a_studys_folder(tmp_path, monkeypatch, capsys):
    from running import make_study

    monkeypatch.chdir(tmp_path)
    run(make_study(tmp_path), tmp_path / "runs", "budget.trials=1", "retrain.seeds=1")
    capsys.readouterr()
    np.savez(tmp_path / "runs" / "tiny" / "diagnosis.npz", about=EVIL)
    assert run_verb(app, ["report", "tiny"]) == 2
    assert "diagnosis.npz" in capsys.readouterr().err
    assert not Path(CANARY).exists()


# Archives and bombs


def tar_member(name="a/0.png", kind=tarfile.REGTYPE, size=0, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, size, link
    return member


TAR = {
    "..": (tar_member("a/../../evil.png"), "unsafe name"),
    "absolute": (tar_member("/tmp/evil.png"), "unsafe name"),
    "backslashes": (tar_member("..\\evil.png"), "unsafe name"),
    "a drive": (tar_member("C:evil.png"), "unsafe name"),
    "a link": (tar_member(kind=tarfile.SYMTYPE, link="/etc/passwd"), "links and devices are refused"),
    "a link to a folder": (tar_member("a", tarfile.SYMTYPE, link="/etc"), "links and devices are refused"),
    "a hard link": (tar_member(kind=tarfile.LNKTYPE, link="../../etc/passwd"), "links and devices are refused"),
    "a character device": (tar_member(kind=tarfile.CHRTYPE), "links and devices are refused"),
    "a block device": (tar_member(kind=tarfile.BLKTYPE), "links and devices are refused"),
    "a pipe": (tar_member(kind=tarfile.FIFOTYPE), "links and devices are refused"),
}


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
@pytest.mark.parametrize(("member", "words"), TAR.values(), ids=TAR)
def test_nothing_in_a_tar_leads_outside(tmp_path, member, words, ending):
    with tarfile.open(tmp_path / f"bad{ending}", "w:gz" if ending.endswith("gz") else "w") as archive:
        archive.addfile(tar_member("a/1.png", size=1), io.BytesIO(b"x"))
        archive.addfile(member)
        archive.addfile(tar_member("a/passwd", size=1), io.BytesIO(b"x"))
    assert words in refusal(tmp_path, f"./bad{ending}")
    assert [path.name for path in tmp_path.iterdir()] == [f"bad{ending}"]


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "C:/evil.png", "..\\evil.png"])
def test_nothing_in_a_zip_leads_outside(tmp_path, name):
    info = zipfile.ZipInfo("x")
    info.filename = name
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(info, b"x")
        archive.writestr("a/1.txt", b"x")
    assert "bad.zip: " in refusal(tmp_path, "./bad.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.zip"]


def test_an_archive_in_an_archive_is_a_file_like_any_other(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a/1.png", b"x")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("a/inner.zip", inner.getvalue())
    assert open_tree(tmp_path / "outer.zip").names == ("inner.zip",)
    assert "holds no images (came: inner.zip)" in refusal(tmp_path, "./outer.zip")


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path):
    path = tmp_path / "lies.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", b"\0" * 1_000_000)
        archive.writestr("b/1.png", b"\0" * 1_000_000)
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", 1_000_000), struct.pack("<I", 10)))
    assert "lies.zip" in refusal(tmp_path, "./lies.zip")


def png(size, data=b""):
    """A PNG of one bit a pixel."""
    head = struct.pack(">IIBBBBB", size, size, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    parts = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def zeros(count):
    """So many zeros, deflated, without ever having them all."""
    press = zlib.compressobj(9)
    block = b"\0" * 2**20
    return b"".join(press.compress(block) for _ in range(count // 2**20)) + press.flush()


def pictures(folder):
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        (folder / label / "1.png").write_bytes(png(50_000, zeros(300 * 2**20)))
    return folder


def zip_of_zeros(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for label in ("a", "b"):
            with archive.open(f"{label}/1.png", "w") as member:
                for _ in range(128):
                    member.write(b"\0" * 2**20)
    return path


def tar_of_zeros(path, kind=tarfile.REGTYPE):
    """256 MB of zeros in one member, or in a header that describes the next."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(tar_member(kind=kind, size=2**28).tobuf())
        for _ in range(256):
            file.write(b"\0" * 2**20)
    return path


def npz_of_nothing(path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000, 100000)}\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x_train", "y_train"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    return path


def idx_of_zeros(folder):
    folder.mkdir()
    with gzip.open(folder / "train-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
        file.write(bytes([0, 0, 8, 3]) + struct.pack(">3I", 10, 1000, 1000))
        for _ in range(256):
            file.write(b"\0" * 2**20)
    (folder / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 10) + bytes(range(10)))
    return folder


def batch_of_ten_bytes(folder, content):
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(content)
    return folder


WATCH = """
import resource, sys
from pathlib import Path
from search.datasets import open_source, search_splits
from search.errors import SearchError
from studies.plan import DataPlan
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for source in sys.argv[1:]:
    data = DataPlan(source=source)
    try:
        search_splits(open_source(data, Path()), data)
        print("read", source)
    except SearchError as error:
        print(" ".join(str(error).split()))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert used < 200_000, (source, used)
"""


@pytest.mark.slow
def test_no_bomb_fills_the_memory(tmp_path):
    """Each is refused, and all together take less than 200 MB, which any of them would have exceeded by far."""
    bombs = {
        "images of 50,000 x 50,000": (pictures(tmp_path / "images"), "decompression bomb"),
        "a quarter of a gigabyte in a zip": (zip_of_zeros(tmp_path / "bomb.zip"), "times are allowed"),
        "a quarter of a gigabyte in a tar": (tar_of_zeros(tmp_path / "bomb.tar.gz"), "times are allowed"),
        "a quarter of a gigabyte as a name": (
            tar_of_zeros(tmp_path / "name.tgz", tarfile.GNUTYPE_LONGNAME),
            "at most 1048576",
        ),
        "a quarter of a gigabyte of headers": (tar_of_zeros(tmp_path / "pax.tgz", tarfile.XHDTYPE), "at most 1048576"),
        "an array of 80 GB": (npz_of_nothing(tmp_path / "bomb.npz"), "declares 80000000000 bytes"),
        "more than an IDX file says": (idx_of_zeros(tmp_path / "idx"), "its header announces 10000000 bytes"),
        "a pickle's memo": (batch_of_ten_bytes(tmp_path / "memo", b"\x80\x02Nr\xff\xff\xff\x7f."), "a dictionary"),
        "a pickle's bytes": (batch_of_ten_bytes(tmp_path / "bytes", b"\x80\x04\x8e" + b"\0\0\0\0\1\0\0\0."), "CIFAR"),
        "a pickle's buffer": (batch_of_ten_bytes(tmp_path / "array", b"\x80\x05\x96" + b"\0\0\0\0\1\0\0\0."), "CIFAR"),
    }
    command = [sys.executable, "-c", WATCH, *(f"./{path.name}" for path, _ in bombs.values())]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line, (name, (_, words)) in zip(done.stdout.splitlines(), bombs.items(), strict=True):
        assert words in line, name


def test_an_archive_of_more_files_than_an_archive_may_hold_is_refused(tmp_path, monkeypatch):
    assert trees._FILES_LIMIT == 200_000
    monkeypatch.setattr(trees, "_FILES_LIMIT", 200)
    with tarfile.open(tmp_path / "many.tar.gz", "w:gz") as archive:
        for index in range(201):
            archive.addfile(tarfile.TarInfo(f"a/{index}"))
    assert "may hold 200 files" in refusal(tmp_path, "./many.tar.gz")


# Names


WICKED = {
    "markup": "<script>alert(1)</script>",
    "a formula": "=cmd|' /C calc'!A0",
    "a sum": "@SUM(1+1)*cmd",
    "a terminal": "\x1b[2J\x1b]0;owned\x07",
    "another terminal": "\x9b31mred",
    "rich's own": "[/bold][link=file:///etc]x[/link]",
    "a line end": "one\ntwo\r\nthree",
    "right to left": "\u202egnp.exe",
    "quotes": "\"><img src=x onerror=alert(1)>'",
}
STUDY = """
name = "tiny"
space = "space.toml"
[data]
source = "data.csv"
target = "label"
[hyperband]
max_resource = 3
[budget]
trials = 9
[retrain]
seeds = 1
"""


@pytest.fixture(scope="module")
def wicked_run(tmp_path_factory):
    """A finished study whose classes, columns and choices have such names."""
    folder = tmp_path_factory.mktemp("wicked")
    rows = [(*np.random.default_rng(row).normal(size=9), name) for row in range(12) for name in WICKED.values()]
    table = pd.DataFrame(rows, columns=[*(name + "!" for name in WICKED.values()), "label"])
    table.to_csv(folder / "data.csv", index=False)
    choices = json.dumps([*WICKED.values()])
    space = f'model = "wicked.module:build"\n[parameters]\nnoise = {{ type = "categorical", choices = {choices} }}\n'
    space += 'learning_rate = { type = "float", low = 1e-4, high = 1e-1, log = true }\n'
    (folder / "space.toml").write_text(space)
    (folder / "study.toml").write_text(STUDY)
    run(folder / "study.toml", folder / "runs", pictures=True)
    return folder


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found |= {tag, *(name for name, _ in attributes if name.startswith("on"))}


def test_wicked_names_are_shown_escaped_in_the_report_and_the_csv(wicked_run):
    page = (wicked_run / "runs" / "tiny" / "report.html").read_text()
    assert "&lt;script&gt;" in page
    assert not Tags(page).found & {"script", "link", "iframe", "object", "onerror"}
    assert "src=x" not in Tags(page).found
    table = pd.read_csv(wicked_run / "runs" / "tiny" / "leaderboard.csv")
    texts = [cell for name in table for cell in [name, *table[name]] if isinstance(cell, str)]
    assert any("cmd|" in text for text in texts)
    assert not [text for text in texts if text.startswith(FORMULA_STARTS)]


@pytest.mark.parametrize(
    "words", ["status", "status tiny", "leaderboard tiny", "leaderboard tiny --top 3", "explain tiny 0", "studies list"]
)
def test_wicked_names_cannot_steer_a_terminal(wicked_run, monkeypatch, capsys, words):
    monkeypatch.chdir(wicked_run)
    assert run_verb(app, words.split()) == 0
    said = capsys.readouterr()
    strange = {letter for letter in said.out + said.err if not letter.isprintable() and letter != "\n"}
    assert not strange


def test_what_looks_like_markup_is_shown_and_not_taken_for_it(wicked_run, monkeypatch, capsys):
    monkeypatch.chdir(wicked_run)
    record = stored(wicked_run / "runs", "tiny")
    number = next(trial.number for trial in record.trials if trial.params["noise"] == WICKED["rich's own"])
    assert run_verb(app, ["explain", "tiny", str(number)]) == 0
    assert WICKED["rich's own"] in "".join(capsys.readouterr().out.split("\n"))


def test_a_class_that_is_not_there_is_asked_for_in_words_that_cannot_steer_a_terminal(wicked_run, monkeypatch, capsys):
    monkeypatch.chdir(wicked_run)
    names = json.dumps(["\x1b[2J", "\x9b31m", "x"])
    assert run_verb(app, ["run", "study.toml", "--set", f"data.classes={names}", "--workers", "1"]) == 2
    said = capsys.readouterr().err
    assert all(letter.isprintable() or letter == "\n" for letter in said)
    assert "has no class" in said


@pytest.mark.parametrize("name", WICKED.values(), ids=WICKED)
def test_a_study_of_such_a_name_is_refused(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert run_verb(app, ["run", "digits", "--set", f"name={json.dumps(name)}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --set: name: must be 1 to 64 letters, digits")
    assert all(letter.isprintable() or letter == "\n" for letter in said)
    assert list(tmp_path.iterdir()) == []


# Code and secrets


def test_a_space_that_names_a_module_does_not_have_it_imported_by_looking_at_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil_models.py").write_text(f"open({CANARY!r}, 'w')\n")
    space = 'model = "evil_models:build"\n[parameters]\nrate = { type = "float", low = 0.1, high = 0.2 }\n'
    (tmp_path / "space.toml").write_text(space)
    (tmp_path / "study.toml").write_text('name = "x"\nspace = "space.toml"\n[data]\nsource = "digits"\n')
    for words in ("spaces check space.toml", "spaces show space.toml", "studies show study.toml"):
        assert run_verb(app, words.split()) == 0
    assert run_verb(app, ["plan", "study.toml", "--no-probe"]) == 0
    assert not Path(CANARY).exists()
    assert "evil_models" not in sys.modules


def test_workers_get_no_secret_of_the_environment():
    secrets = {"PGPASSWORD": "s3cret", "TOPRUNG_STORE": "postgresql://u:s3cret@h/d", "AWS_SECRET_ACCESS_KEY": "s3cret"}
    environment = worker_environment(Slot(None, 1, 1), "tensorflow", {"PATH": "/bin", "KERAS_HOME": "/k", **secrets})
    assert "s3cret" not in json.dumps(environment)
    assert (environment["PATH"], environment["KERAS_HOME"]) == ("/bin", "/k")
