"""Damaged files: a checkpoint gives way to the one before, a store is refused, and neither is ever believed."""

import hashlib
import sqlite3

import numpy as np
import pytest
from running import SPACE, STUDY, make_study, options, outcome, run, stored

from search.blobs import FolderBlobs
from search.checkpoints import Checkpoints
from search.errors import Interrupted
from search.progress import Progress
from search.signals import StopRequest
from studies.errors import StudyError
from studies.store import Store, sqlite_url

# Checkpoints

STATES = {epoch: [np.full((2, 3), epoch, np.float32), np.int64(epoch) * np.ones((), np.int64)] for epoch in (1, 2)}


@pytest.fixture
def checkpoints(tmp_path):
    """Two generations of a trial's checkpoints; the files of the newest."""
    kept, progress = Checkpoints(FolderBlobs(tmp_path), "t", "params"), Progress()
    for epoch, state in STATES.items():
        progress = progress.after({"val_accuracy": 0.1 * epoch}, "val_accuracy", "maximize", 0.5)
        kept.save(progress, state, state)
    return {name: tmp_path / "t" / f"{name}-000002" for name in ("epoch", "best")}


def loaded(folder):
    """The epoch that a new process goes on from, with the state that it was saved with."""
    found = Checkpoints(FolderBlobs(folder), "t", "params").load()
    if found is None:
        return None
    progress, state = found
    assert all(np.array_equal(one, other) for one, other in zip(state, STATES[progress.epoch], strict=True))
    return progress.epoch


@pytest.mark.parametrize("file", ["epoch", "best"])
@pytest.mark.parametrize("eighths", range(8))
def test_a_checkpoint_that_was_cut_anywhere_gives_way_to_the_one_before(tmp_path, checkpoints, file, eighths):
    content = checkpoints[file].read_bytes()
    checkpoints[file].write_bytes(content[: len(content) * eighths // 8])
    assert loaded(tmp_path) == 1


@pytest.mark.parametrize("file", ["epoch", "best"])
def test_no_bit_of_a_checkpoint_can_flip_without_being_noticed(tmp_path, checkpoints, file):
    content = checkpoints[file].read_bytes()
    for bit in range(0, 8 * len(content), 7):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        checkpoints[file].write_bytes(damaged)
        assert loaded(tmp_path) == 1, bit
    checkpoints[file].write_bytes(content)
    assert loaded(tmp_path) == 2


def test_a_trial_without_a_whole_checkpoint_starts_again(tmp_path, checkpoints):
    for path in checkpoints["epoch"].parent.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    assert loaded(tmp_path) is None


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def newest(path):
    """Whether it is the last of its kind in its folder."""
    return path == max(path.parent.glob(f"{path.name[:5]}*"))


SLOW = pytest.mark.slow
HARMS = [
    ("the newest", flip),
    ("all", "unlink"),
    *(pytest.param("the newest", harm, marks=SLOW) for harm in (cut, empty, "unlink")),
    *(pytest.param("all", harm, marks=SLOW) for harm in (cut, flip, empty)),
]


@pytest.mark.parametrize(("which", "harm"), HARMS)
def test_a_run_whose_checkpoints_were_damaged_ends_as_if_it_had_not_been_disturbed(tmp_path, undisturbed, harm, which):
    path, stop, epochs = make_study(tmp_path), StopRequest(), []

    def observe(kind, **fields):
        if kind == "epoch":
            epochs.append(fields)
            if len(epochs) == 20:
                stop.set()

    with pytest.raises(Interrupted):
        run(path, tmp_path / "runs", observe=observe, stop=stop)
    files = [file for file in (tmp_path / "runs" / "tiny" / "trials").rglob("*-0*") if file.is_file()]
    damaged = [file for file in files if which == "all" or newest(file)]
    assert len(damaged) >= 4
    for file in damaged:
        file.unlink() if harm == "unlink" else harm(file)
    assert outcome(run(path, tmp_path / "runs")) == outcome(undisturbed)


# The store


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The bytes of a store with a finished study."""
    folder = tmp_path_factory.mktemp("sound")
    run(make_study(folder), folder / "runs")
    return (folder / "runs" / "studies.db").read_bytes()


def refused(path, content):
    """What is said about a damaged store, which is left as it is."""
    path.write_bytes(content)
    with pytest.raises(StudyError) as error:
        Store.open(sqlite_url(path))
    assert error.value.exit_code == 3
    assert "\n" not in str(error.value)
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return str(error.value)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=SLOW) for seed in range(1, 10))])
def test_a_store_with_three_pages_overwritten_is_refused_and_left_as_it_is(tmp_path, sound, seed):
    """Ten times a seed."""
    for repetition in range(10):
        rng = np.random.default_rng([seed, repetition])
        content = bytearray(sound)
        for page in rng.choice(len(sound) // 4096, 3, replace=False):
            content[4096 * page : 4096 * (page + 1)] = rng.bytes(4096)
        assert "damaged" in refused(tmp_path / "studies.db", bytes(content))


def test_a_store_with_its_header_overwritten_is_refused_and_left_as_it_is(tmp_path, sound):
    for header in (bytes(100), b"x" * 100, sound[:16] + bytes(84), b"SQLite format 2\0" + sound[16:100]):
        assert "damaged" in refused(tmp_path / "studies.db", header + sound[100:])


@pytest.mark.parametrize("eighths", range(1, 8))
def test_a_store_that_was_cut_is_refused_and_left_as_it_is(tmp_path, sound, eighths):
    for length in (len(sound) * eighths // 8, len(sound) * eighths // 8 // 4096 * 4096 or 4096):
        assert "damaged" in refused(tmp_path / "studies.db", sound[:length])


def test_a_store_of_no_bytes_is_refused_and_no_new_one_is_made(tmp_path, sound):
    assert "is empty (0 bytes)" in refused(tmp_path / "studies.db", b"")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=SLOW) for seed in range(1, 6))])
def test_a_store_with_flipped_bits_is_read_or_refused_in_one_line(tmp_path, sound, seed):
    """SQLite has no checksums, so a bit within a text may be anything; thirty stores a seed, forty bits each."""
    path, refusals = tmp_path / "studies.db", 0
    for repetition in range(30):
        rng, content = np.random.default_rng([seed, repetition]), bytearray(sound)
        for bit in rng.integers(0, 8 * len(sound), 40).tolist():
            content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        error = trouble_with(path)
        refusals += error is not None
        assert error is None or (error.exit_code in (2, 3) and len(str(error).splitlines()) == 1)
        assert path.read_bytes() == bytes(content)
    assert refusals


def trouble_with(path):
    try:
        with Store.open(sqlite_url(path), read_only=True) as store:
            for name in store.names():
                store.load(name)
    except StudyError as error:
        return error
    return None


def test_a_study_whose_values_were_spoiled_is_refused_in_one_line(tmp_path, sound):
    spoiled = {
        "UPDATE study_user_attributes SET value_json = 'x' WHERE key = 'plan'": "is damaged",
        "UPDATE study_user_attributes SET value_json = '7' WHERE key = 'created'": "is damaged",
        "UPDATE study_user_attributes SET value_json = '[{}]' WHERE key = 'retrained'": "is damaged",
        "UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'epochs'": "is damaged",
        "UPDATE trial_system_attributes SET value_json = '{\"x\": 1}' WHERE key = 'toprung:rungs'": "is damaged",
        "UPDATE trial_params SET distribution_json = 'x'": "is damaged",
        "UPDATE trial_params SET param_value = 99 WHERE param_name = 'optimizer'": "is damaged",
        "UPDATE trials SET state = 'WON'": "",
        "DROP TABLE trial_params": "its tables are not what they should be",
    }
    path = tmp_path / "studies.db"
    for statement, words in spoiled.items():
        path.write_bytes(sound)
        database = sqlite3.connect(path)
        database.execute(statement)
        database.commit()
        database.close()
        with Store.open(sqlite_url(path), read_only=True) as store, pytest.raises(StudyError) as error:
            store.load("tiny")
        assert error.value.exit_code == 3, statement
        assert words in str(error.value), statement
        assert "\n" not in str(error.value)


# A study begun otherwise

CHANGES = {
    "another choice": (SPACE.replace('["adam", "sgd"]', '["adam", "sgd", "rmsprop"]'), STUDY, 0, "space.parameters"),
    "another range": (SPACE.replace("low = 1e-4", "low = 1e-5"), STUDY, 0, "space.parameters.learning_rate.low"),
    "another direction": (SPACE, STUDY + '[objective]\nmonitor = "val_loss"\n', 0, "direction: maximize in the store"),
    "another metric": (SPACE, STUDY + '[objective]\nmonitor = "val_f1"\n', 0, "objective.monitor"),
    "another ladder": (
        SPACE,
        STUDY.replace("= 9", "= 27"),
        0,
        "hyperband.max_resource: 9 in the store, 27 in the file",
    ),
    "another seed": (SPACE, STUDY + "[sampler]\nseed = 1\n", 0, "sampler.seed: 0 in the store, 1 in the file"),
    "another split": (SPACE, STUDY.replace('z"\n', 'z"\nvalidation = 0.3\n'), 0, "data.validation"),
    "another batch size": (SPACE, STUDY + "[training]\nbatch_size = 16\n", 0, "training.batch_size"),
    "other data": (SPACE, STUDY, 1, "data_hash"),
}


@pytest.mark.parametrize(("space", "study", "shift", "key"), CHANGES.values(), ids=CHANGES)
def test_a_study_begun_otherwise_is_refused_with_the_keys_and_its_store_is_as_it_was(
    tmp_path, sound, space, study, shift, key
):
    path = make_study(tmp_path, study=study, space=space)
    if shift:
        with np.load(tmp_path / "data.npz") as arrays:
            np.savez(tmp_path / "data.npz", **{name: array + (name == "x_train") for name, array in arrays.items()})
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "studies.db").write_bytes(sound)
    with pytest.raises(StudyError, match="was begun otherwise") as error:
        run(path, tmp_path / "runs")
    assert error.value.exit_code == 2
    assert key in str(error.value)
    assert (tmp_path / "runs" / "studies.db").read_bytes() == sound
    assert len(stored(tmp_path / "runs").trials) == 12
    assert not options(tmp_path / "runs").folder("tiny").exists()
