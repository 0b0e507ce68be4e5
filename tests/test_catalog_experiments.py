"""The studies of the catalog that repeat published experiments, on small data of their own."""

from pathlib import Path

import pytest
from inline import make_images, run_inline, use_inline_workers

from search.errors import SearchError
from search.models import build, pretrained
from search.models.purpose import Purpose
from search.scalars import Scalars
from spaces import catalog_names
from studies.grid import Grid
from studies.plan import CATALOG, load_study

SHAPES = {"mnist": (28, 28), "fashion_mnist": (28, 28), "cifar10": (32, 32, 3)}
STUDIES = [name for name in catalog_names(CATALOG) if name[0] == "e" and name[1].isdigit()]


def weights(params, study, classes=10):
    """How many weights the model of some params has on the images of a study."""
    loaded = load_study(study)
    params = {**loaded.plan.training.model_dump(exclude_none=True), **params}
    shape = SHAPES[loaded.plan.data.source]
    model = build(loaded.space.model, params, Purpose(shape, "uint8", classes, 1 / 255), Scalars.plain(params))
    return model.count_params()


def completed(study):
    """The params that a study enqueues, with the fixed ones, and the names of those that they leave out."""
    loaded, missing = load_study(study), []
    choose = lambda given: lambda full, _: given[full] if full in given else missing.append(full)  # noqa: E731
    return [loaded.space.fill(choose(given)) for given in loaded.plan.enqueue], missing


def test_there_is_a_study_for_every_experiment():
    assert {name[:2] for name in STUDIES} == {"e1", "e2", "e3", "e4", "e5"}


def test_every_experiment_is_in_the_readme():
    told = (Path(__file__).parents[1] / "README.md").read_text()
    assert [name for name in STUDIES if f"`{name}`" not in told] == []


def test_the_twelve_networks_have_the_published_numbers_of_weights():
    published = [101_770, 337_674, 535_818, 535_818, 1_462_538, 535_818, 535_818, 1_462_538]
    published += [693_962, 241_546, 422_026, 242_954]
    assert [weights(params, "e5_fashion") for params in completed("e5_fashion")[0]] == published


@pytest.mark.parametrize("study", STUDIES)
def test_nothing_of_what_is_enqueued_is_left_to_chance(study):
    assert completed(study)[1] == []


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_trains_as_many_trials_as_it_compares(study):
    plan, space = load_study(study).plan, load_study(study).space
    if plan.hyperband.mode == "none":
        compared = Grid(space, 0) if plan.sampler.name == "grid" else None
        assert plan.budget.trials == (len(list(compared._walk())) if compared else len(plan.enqueue))


@pytest.mark.parametrize(
    ("study", "params", "classes", "count"),
    [
        ("e1_cifar_dense", {"architecture": "mlp3"}, 10, 1_738_890),
        ("e3_two_digits", {"architecture": "mlp128"}, 2, 100_609),
        ("e3_initializers", {"architecture": "mlp128"}, 2, 100_609),
        ("e3_ten_digits", {"architecture": "mlp128"}, 10, 101_770),
        ("e4_learning_rates", {"architecture": "cnn4"}, 10, 13_810),
    ],
)
def test_a_study_trains_the_published_number_of_weights(study, params, classes, count):
    assert weights(params, study, classes) == count


SMALL = ["hyperband.max_resource=1", "training.batch_size=8", "retrain.seeds=1"]
STOPS = ["hyperband.max_resource=3", "early_stopping.patience=1"]
SMALLER = {
    "e1_cifar_dense": ["budget.trials=1", "plateau.patience=1", *STOPS],
    "e2_cifar_cnn": ["budget.trials=3", "retrain.epochs=2", *STOPS],
    "e2_cifar_networks": ["budget.trials=1", "training.schedule_every=1", "hyperband.max_resource=2"],
    "e2_hand_picked": ["budget.trials=1"],
    "e3_two_digits": STOPS,
    "e3_initializers": ["objective.seeds=2", "budget.trials=2"],
    "e4_xor": ["objective.seeds=2", "budget.trials=2", "training.batch_size=50"],
    "e4_architectures": ["budget.trials=2"],
    "e4_activations": ["budget.trials=2"],
    "e4_learning_rates": ["training.schedule_every=2", "hyperband.max_resource=2", "budget.trials=4"],
    "e5_fashion": ["training.schedule_every=1", "hyperband.max_resource=2", "budget.trials=10"],
}
EVERYDAY = ["e3_two_digits", "e4_xor"]
RUN = [name for name in STUDIES if name != "e5_fashion_transfer"]  # which needs weights that no test may fetch


def run_small(name, folder, monkeypatch, *overrides):
    """A study of the catalog on a few images of the shape of its own."""
    use_inline_workers(monkeypatch)
    source = load_study(name).plan.data.source
    data = []
    if source in SHAPES:
        data = [f"data.path={make_images(folder / 'small.npz', SHAPES[source])}"]
    return run_inline(name, folder / "runs", *SMALL, *SMALLER.get(name, []), *data, *overrides)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in EVERYDAY else pytest.mark.slow) for name in RUN]
)
def test_a_study_of_the_catalog_runs_to_its_report(name, tmp_path, monkeypatch):
    record = run_small(name, tmp_path, monkeypatch)
    assert {trial.state for trial in record.trials} <= {"complete", "pruned"}
    assert [trial for trial in record.trials if trial.test]
    assert record.retrained
    report = (tmp_path / "runs" / name / "report.html").read_text()
    assert "Confusion matrix" in report
    assert "<caption>The model</caption>" in report
    assert ("Decision boundary" in report) == (name == "e4_xor")


def test_transfer_without_weights_says_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch):
    """That Keras is let try first: see tests/test_search_models_transfer.py."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(pretrained, "fetch", lambda call: "no network")
    with pytest.raises(SearchError) as caught:
        run_small("e5_fashion_transfer", tmp_path, monkeypatch, *STOPS, "plateau.patience=1")
    assert "fetch https://storage.googleapis.com/" in str(caught.value)
    assert f"put it into {tmp_path / 'keras' / 'models'}" in str(caught.value)
    assert not (tmp_path / "runs").exists()
