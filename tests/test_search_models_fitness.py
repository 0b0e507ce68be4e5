"""Whether a study's models can learn from its data, told before anything is trained."""

import subprocess
import sys

import numpy as np
import pytest

from search.datasets import open_source, search_splits
from search.errors import SearchError
from search.models.fitness import check_study
from studies.plan import LoadedStudy, load_study


@pytest.fixture
def study(tmp_path):
    """Writes a study of 40 images in two or more classes, and its space; returns it as it is loaded."""

    def write(
        space: str, training: str = "", *, classes: int = 2, shape: tuple = (4, 4), data: str = ""
    ) -> LoadedStudy:
        x = np.random.default_rng(0).integers(0, 256, (40, *shape), np.uint8)
        np.savez(tmp_path / "data.npz", x_train=x, y_train=np.arange(40) % classes, x_test=x, y_test=np.arange(40) % 2)
        (tmp_path / "space.toml").write_text(space)
        text = f'name = "a"\nspace = "./space.toml"\n[data]\nsource = "./data.npz"\n{data}\n[training]\n'
        (tmp_path / "study.toml").write_text(f"{text}batch_size = 8\n{training}")
        return load_study(str(tmp_path / "study.toml"))

    return write


def space(model: str, **parameters: str) -> str:
    lines = [f"{name} = {{ {text} }}" for name, text in {"units": 'type = "fixed", value = 4', **parameters}.items()]
    return f'model = "{model}"\n[parameters]\n' + "\n".join(lines)


def refusal(loaded: LoadedStudy) -> str:
    splits = search_splits(open_source(loaded.plan.data, loaded.path.parent), loaded.plan.data)
    with pytest.raises(SearchError) as caught:
        check_study(loaded, splits)
    return str(caught.value)


def accepted(loaded: LoadedStudy) -> bool:
    check_study(loaded, search_splits(open_source(loaded.plan.data, loaded.path.parent), loaded.plan.data))
    return True


def test_binary_crossentropy_is_refused_with_more_than_two_classes(study):
    loss = 'loss = "binary_crossentropy"\n'
    assert accepted(study(space("mlp"), loss))
    message = refusal(study(space("mlp"), loss, classes=3))
    assert message.startswith("training.loss: binary_crossentropy is for two classes (3 came); use sparse_categorical_")
    choices = 'type = "categorical", choices = ["mean_squared_error", "binary_crossentropy"]'
    assert "binary_crossentropy" in refusal(study(space("mlp", loss=choices), classes=3))
    assert "binary_crossentropy" in refusal(study(space("my.module:build", loss=choices), classes=3))


@pytest.mark.parametrize("own", ["keras_tuner:my.module:build", "my.module:build"])
def test_parameters_of_a_users_model_may_have_any_names_but_those_that_training_reads(study, own):
    rate = 'type = "float", low = 2.0, high = 3.0'
    assert accepted(study(space(own, batch_size='type = "ordinal", choices = [4, 8]', momentum=rate, loss=rate)))
    line = refusal(study(space(own, batch_size='type = "float", low = 0.5, high = 0.5')))
    assert line.startswith("space: parameters.batch_size: must be a whole number (came 0.5); training reads it")
    words = 'type = "categorical", choices = ["low", "float32"]'
    assert 'parameters.precision: unknown word "low"' in refusal(study(space(own, precision=words)))


def test_a_batch_must_fit_into_the_training_split(study):
    assert refusal(study(space("mlp", batch_size='type = "ordinal", choices = [8, 64]'))) == (
        "training.batch_size: a batch must fit into the training split, which has 32 rows (came 64); "
        "use smaller batches or more data"
    )
    assert accepted(study(space("mlp", batch_size='type = "int", low = 8, high = 32')))


def test_a_schedule_by_steps_must_fit_into_the_run(study):
    """Four batches of the training split's 32 rows, 27 times."""
    text = 'schedule = "step"\nschedule_unit = "step"\nschedule_every = '
    assert accepted(study(space("mlp"), f"{text}107\n"))
    assert refusal(study(space("mlp"), f"{text}108\n")) == (
        "training.schedule_every: a step schedule must act before the run ends (came 108); the run has 108 steps"
    )
    large = 'type = "ordinal", choices = [8, 16]'
    assert "the run has 54 steps" in refusal(study(space("mlp", batch_size=large), f"{text}60\n"))


def test_families_of_images_are_refused_for_other_rows(study):
    for family in ("cnn", "transfer"):
        assert f"model: {family} needs images" in refusal(study(space(family), shape=(5,)))
    named = space("named", architecture='type = "categorical", choices = ["mlp1", "cnn4"]')
    assert "cnn4 needs images" in refusal(study(named, shape=(5,)))
    turned = space("mlp", rotation='type = "float", low = 0.0, high = 30.0')
    assert accepted(study(turned))
    assert "params.rotation: augmentation needs images" in refusal(study(turned, shape=(5,)))


def test_all_problems_come_at_once(study):
    text = refusal(study(space("cnn", batch_size='type = "fixed", value = 64'), shape=(5,)))
    assert [line.strip().partition(":")[0] for line in text.splitlines()] == [
        "2 problems",
        "model",
        "training.batch_size",
    ]


def test_weights_are_looked_for_beside_the_study(study, tmp_path):
    transfer = space("transfer", weights='type = "fixed", value = "mine.h5"')
    words = 'params.weights: must be a file, "imagenet" or "random" (came "mine.h5"'
    assert words in refusal(study(transfer))
    (tmp_path / "mine.h5").write_bytes(b"weights")
    assert accepted(study(transfer))


def test_a_backbone_has_its_own_normalisation(study):
    transfer = space("transfer", weights='type = "fixed", value = "random"')
    for data in ('normalise = "channel"', "mean = [0.5]\ndeviation = [0.5]"):
        assert "data.normalise: a pretrained backbone has its own" in refusal(study(transfer, data=data))


def test_checking_a_study_does_not_import_keras():
    code = "import sys, search.models.fitness; assert not {'keras', 'tensorflow', 'jax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
