"""What readers of files make of anything at all, and what a leaderboard makes of any records.

A file is read, or refused in words with exit 2; nothing else.
"""

import gzip
import io
import json
import math
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from records import record, study

from reports.contents import contents
from reports.leaderboard import leaderboard
from reports.page import page
from reports.tables import FORMULA_STARTS, to_csv, to_json, to_text
from search.datasets import open_source, search_splits
from search.datasets import test_split as open_test_split
from search.errors import SearchError
from spaces.errors import InputError
from spaces.files import load_space, read_toml
from studies.plan import DataPlan, load_study

pytestmark = pytest.mark.slow
QUICK = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck), "database": None}


def tried(often=40):
    return settings(max_examples=often, **QUICK)


def read(folder, source, **plan):
    """Read a source whole, or refuse it as a user's mistake in words that fit into a line."""
    data, refusal = DataPlan(source=source, **plan), None
    try:
        opened = open_source(data, folder)
        splits = search_splits(opened, data)
        test = open_test_split(opened, data)
    except SearchError as error:
        refusal = error
    if refusal:
        assert refusal.exit_code == 2
        assert str(folder) in str(refusal) or "data." in str(refusal)
        return None
    classes = len(splits.class_names)
    for part in (splits.train, splits.validation, test):
        assert len(part.x) == len(part.y) > 0
        assert part.x.dtype in (np.uint8, np.float32)
        assert np.isfinite(part.x).all()
        assert 0 <= part.y.min() <= part.y.max() < classes
    return splits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def damaged(content):
    """Strategies: sound bytes with some of them cut, changed, doubled or put in."""

    @st.composite
    def some(draw):
        found = bytearray(content)
        for _ in range(draw(st.integers(1, 4))):
            place = draw(st.integers(0, max(len(found) - 1, 0)))
            length = draw(st.integers(0, 8))
            found[place : place + length] = draw(st.binary(max_size=8))
        return bytes(found[: draw(st.integers(0, len(found)))]) if draw(st.booleans()) else bytes(found)

    return st.one_of(some(), st.binary(max_size=200))


# Files of settings

SPACE = (
    'model = "mlp"\n[parameters]\nunits = { type = "int", low = 1, high = 9 }\nrate = { type = "fixed", value = 1 }\n'
)
STUDY = 'name = "x"\nspace = "mlp"\n[data]\nsource = "digits"\n[hyperband]\nmax_resource = 9\n[[enqueue]]\nunits = 64\n'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["type", "low", "high", "step", "log", "choices", "value", "per", "when", "odd"])
KINDS = st.sampled_from(["int", "float", "categorical", "ordinal", "fixed", "none"])
NUMBERS = st.integers(-3, 40) | st.floats(-2, 40, allow_nan=False) | st.booleans()


def toml(value):
    """A value as TOML writes it; None is left out."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value)
        case float():
            return str(value)
        case dict():
            pairs = (f"{json.dumps(key)} = {toml(item)}" for key, item in value.items() if item is not None)
            return "{ " + ", ".join(pairs) + " }"
        case list() | tuple():
            return "[" + ", ".join(toml(item) for item in value if item is not None) + "]"
    return str(value)


def loaded(load, path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    problems = ["none"]
    try:
        return load(str(path))
    except InputError as error:
        problems = error.problems
    assert problems
    assert all("\n" not in line for line in problems)
    return None


@tried(60)
@given(content=damaged(STUDY.encode()))
def test_any_bytes_are_a_study_or_bad_input(folder, content):
    loaded(load_study, folder / "study.toml", content)
    loaded(lambda path: read_toml(folder / "study.toml"), folder / "study.toml", content)


@tried(60)
@given(content=damaged(SPACE.encode()))
def test_any_bytes_are_a_space_or_bad_input(folder, content):
    loaded(load_space, folder / "space.toml", content)


@tried(60)
@given(
    tables=st.dictionaries(
        st.sampled_from(["units", "layers", "rate", "dropout", "b"]),
        st.fixed_dictionaries(
            {"type": KINDS},
            optional={
                "low": NUMBERS, "high": NUMBERS, "step": NUMBERS, "log": st.booleans(), "value": VALUES,
                "choices": st.lists(NUMBERS | st.text(max_size=3), max_size=4), "per": st.sampled_from(["units", "b"]),
                "when": st.dictionaries(st.sampled_from(["units", "layers", "b"]), NUMBERS, max_size=2),
            },
        ),
        min_size=1,
    )
)  # fmt: skip
def test_any_parameters_are_a_space_with_a_sound_default_or_bad_input(folder, tables):
    lines = "".join(f"{name} = {toml(table)}\n" for name, table in tables.items())
    space = loaded(load_space, folder / "space.toml", f'model = "own.models:build"\n[parameters]\n{lines}')
    if space is not None:
        default = space.default()
        assert space.problems_with(default) == []
        assert space.active(default) == default


@tried(60)
@given(
    sections=st.dictionaries(
        st.sampled_from(["data", "hyperband", "budget", "training", "sampler", "retrain", "objective", "odd"]),
        st.dictionaries(
            st.sampled_from(["source", "seed", "classes", "trials", "minutes", "max_resource", "mode", "name", "loss"]),
            VALUES | st.sampled_from(["digits", "tpe", 3, 0.5]),
            max_size=3,
        ),
    )
)
def test_any_sections_are_a_study_or_bad_input(folder, sections):
    text = f'name = "x"\nspace = "mlp"\n{"".join(f"{name} = {toml(keys)}{chr(10)}" for name, keys in sections.items())}'
    loaded(load_study, folder / "study.toml", text)


# Files of data


def npz(**content):
    file = io.BytesIO()
    np.savez(file, **content)
    return file.getvalue()


X = np.arange(20 * 4, dtype=np.uint8).reshape(20, 2, 2)
Y = np.arange(20) % 2
IDX = bytes([0, 0, 8, 3]) + struct.pack(">3I", 20, 2, 2) + X.tobytes()
IDX_LABELS = bytes([0, 0, 8, 1]) + struct.pack(">I", 20) + Y.astype(np.uint8).tobytes()
BATCH = pickle.dumps({b"data": np.zeros((20, 3072), np.uint8), b"labels": [int(label) for label in Y]}, 4)
TABLE = "a,b,label\n" + "".join(f"{row},{row % 3},{row % 2}\n" for row in range(20))


def archive_of(kind):
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("train-images-idx3-ubyte", IDX)
            archive.writestr("train-labels-idx1-ubyte", IDX_LABELS)
    else:
        with tarfile.open(fileobj=file, mode=f"w:{kind}") as archive:
            for name, content in (("train-images-idx3-ubyte", IDX), ("train-labels-idx1-ubyte", IDX_LABELS)):
                member = tarfile.TarInfo(f"data/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


ARCHIVES = {".zip": archive_of("zip"), ".tar": archive_of(""), ".tar.gz": archive_of("gz"), ".tar.xz": archive_of("xz")}


@pytest.mark.parametrize("ending", ARCHIVES)
def test_any_bytes_are_an_archive_or_bad_input(folder, ending):
    path = folder / f"data{ending}"
    path.write_bytes(ARCHIVES[ending])
    assert read(folder, f"./{path.name}") is not None

    @tried()
    @given(content=damaged(ARCHIVES[ending]))
    def attempt(content):
        path.write_bytes(content)
        read(folder, f"./{path.name}")

    attempt()


@tried(60)
@given(content=damaged(npz(x_train=X, y_train=Y)))
def test_any_bytes_are_an_npz_or_bad_input(folder, content):
    (folder / "data.npz").write_bytes(content)
    read(folder, "./data.npz")


KINDS_OF_NUMBERS = st.one_of(
    arrays.boolean_dtypes(), arrays.integer_dtypes(), arrays.unsigned_integer_dtypes(), arrays.floating_dtypes(),
    arrays.complex_number_dtypes(), arrays.datetime64_dtypes(), arrays.unicode_string_dtypes(max_len=4),
)  # fmt: skip


@tried(60)
@given(data=st.data())
def test_any_arrays_are_data_or_bad_input(folder, data):
    shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=12)
    some = {
        name: data.draw(arrays.arrays(KINDS_OF_NUMBERS, shapes), label=name)
        for name in data.draw(st.sets(st.sampled_from(["x_train", "y_train", "x_test", "y_test"]), min_size=1))
    }
    (folder / "data.npz").write_bytes(npz(**some))
    read(folder, "./data.npz")


@tried(60)
@given(images=damaged(IDX), labels=damaged(IDX_LABELS) | st.just(IDX_LABELS), pressed=st.booleans())
def test_any_bytes_are_idx_files_or_bad_input(folder, images, labels, pressed):
    place = folder / f"idx-{pressed}"
    place.mkdir(exist_ok=True)
    name = "train-images-idx3-ubyte" + (".gz" if pressed else "")
    (place / name).write_bytes(gzip.compress(images, 1) if pressed else images)
    (place / "train-labels-idx1-ubyte").write_bytes(labels)
    read(folder, f"./{place.name}")


@tried(80)
@given(content=damaged(BATCH[:40] + BATCH[-120:]) | damaged(BATCH))
def test_any_bytes_are_a_cifar_batch_or_bad_input(folder, content):
    (folder / "cifar").mkdir(exist_ok=True)
    (folder / "cifar" / "data_batch_1").write_bytes(content)
    read(folder, "./cifar")


@tried(60)
@given(content=damaged(TABLE.encode()))
def test_any_bytes_are_a_table_or_bad_input(folder, content):
    (folder / "data.csv").write_bytes(content)
    read(folder, "./data.csv", target="label")


@tried(60)
@given(rows=st.lists(st.lists(st.text(max_size=4) | st.floats().map(str), min_size=1, max_size=4), max_size=12))
def test_any_cells_are_a_table_or_bad_input(folder, rows):
    import csv

    with (folder / "data.csv").open("w", newline="", encoding="utf-8", errors="replace") as file:
        csv.writer(file).writerows([["a", "label"], *rows])
    read(folder, "./data.csv", target="label")


# The leaderboard

NAMES = st.text(min_size=1, max_size=6)
METRICS = st.floats(0, 1) | st.sampled_from([math.nan, math.inf, -math.inf])
TRIALS = st.lists(
    st.builds(
        dict,
        state=st.sampled_from(["running", "paused", "complete", "pruned", "failed"]),
        epochs=st.integers(0, 27),
        value=st.none() | METRICS,
        test_accuracy=st.none() | METRICS,
        reason=st.none() | st.text(max_size=12),
        params=st.dictionaries(
            NAMES, st.text(max_size=6) | st.integers(-(10**12), 10**12) | st.floats() | st.booleans(), max_size=3
        ),
        weights=st.none() | st.integers(0, 10**9),
    ),
    max_size=8,
)


@tried(40)
@given(trials=TRIALS, monitor=st.sampled_from(["val_accuracy", "val_loss", "val_f1"]))
def test_a_leaderboard_of_any_records_keeps_its_promises(tmp_path_factory, trials, monitor):
    records = [record(number=number, **fields) for number, fields in enumerate(trials)]
    table = leaderboard(study(records, monitor=monitor))
    assert sorted(table["trial"]) == list(range(len(records)))
    rows = [records[number] for number in table["trial"]]
    ranks = list(table["rank"].dropna())
    assert [int(rank) for rank in ranks] == list(range(1, len(ranks) + 1))
    ranked = rows[: len(ranks)]
    assert all(row.state != "failed" and row.value is not None and math.isfinite(row.value) for row in ranked)
    complete = [place for place, row in enumerate(ranked) if row.state == "complete"]
    pruned = [place for place, row in enumerate(ranked) if row.state == "pruned"]
    assert not complete or not pruned or max(complete) < min(pruned)
    values = [ranked[place].value for place in complete if ranked[place].epochs == 27]
    assert values == sorted(values, reverse=monitor != "val_loss")
    said = [to_text(table), to_json(table)]
    assert all(letter.isprintable() or letter == "\n" for text in said for letter in text)
    assert all(json.loads(line) for line in said[1].splitlines())
    path = tmp_path_factory.getbasetemp() / "leaderboard.csv"
    to_csv(table, path)
    assert path.read_text(encoding="utf-8", errors="surrogatepass").count("\n") >= len(records)


@tried(10)
@given(trials=TRIALS)
def test_a_report_of_any_records_is_a_page_without_scripts(trials):
    text = page(contents(study([record(number=number, **fields) for number, fields in enumerate(trials)])))
    assert "<script" not in text.lower()
    assert text.rstrip().endswith("</html>")


@tried(40)
@given(text=st.text(max_size=12))
def test_no_text_in_a_csv_is_a_formula(tmp_path_factory, text):
    import csv

    path = tmp_path_factory.getbasetemp() / "one.csv"
    to_csv(leaderboard(study([record(number=0, params={"x": text}, val_accuracy=0.5)])), path)
    with path.open(newline="", encoding="utf-8", errors="surrogatepass") as file:
        cells = [cell for row in csv.DictReader(file) for cell in row.values()]
    assert not [
        cell for cell in cells if cell.startswith(FORMULA_STARTS) and not cell.lstrip("-").replace(".", "").isdigit()
    ]
