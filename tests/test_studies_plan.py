import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from spaces import Categorical, InputError, catalog_names
from studies.differences import differences
from studies.ladder import Ladder
from studies.objects import study_of
from studies.plan import CATALOG, DataPlan, StudyPlan, fingerprint, load_study

SPACE = """
model = "mlp"

[parameters]
units         = { type = "int", low = 32, high = 128, log = true, step = 2 }
dropout       = { type = "float", low = 0.0, high = 0.5 }
optimizer     = { type = "categorical", choices = ["adam", "sgd"] }
momentum      = { type = "float", low = 0.0, high = 0.9, when = { optimizer = "sgd" } }
"""

STUDY = """
name = "small"
space = "./space.toml"

[data]
source = "digits"
"""


@pytest.fixture
def study(tmp_path):
    """Writes a study and its space; returns the path of the study."""

    def write(extra="", text=STUDY, space=SPACE):
        (tmp_path / "space.toml").write_text(space)
        path = tmp_path / "small.toml"
        path.write_text(text + extra)
        return str(path)

    return write


def problems_of(path, overrides=()):
    with pytest.raises(InputError) as error:
        load_study(path, overrides)
    return error.value.where, error.value.problems


@pytest.mark.parametrize("name", catalog_names(CATALOG))
def test_every_study_of_the_catalog_loads_and_is_named_as_its_file(name):
    loaded = load_study(name)
    assert loaded.plan.name == name
    assert loaded.path == CATALOG / f"{name}.toml"
    assert loaded.plan.hyperband.ladder.forecast(loaded.plan.budget.trials).expected_epochs > 0


def test_the_example_study_says_what_the_contract_says():
    plan = load_study("digits").plan
    assert (plan.space, plan.data.source, plan.data.validation) == ("mlp", "digits", 0.2)
    assert plan.hyperband.ladder == Ladder(1, 27, 3)
    assert (plan.sampler.name, plan.sampler.seed) == ("gp", 0)
    assert (plan.budget.trials, plan.budget.minutes) == (60, 10)
    assert (plan.retrain.seeds, plan.retrain.data) == (3, "train+validation")
    assert plan.enqueue == ({"units": 128, "learning_rate": 0.001},)


def test_a_study_needs_only_a_name_a_space_and_data(study):
    loaded = load_study(study())
    assert loaded.plan.budget.trials == 60
    assert list(loaded.space.parameters) == ["units", "dropout", "optimizer", "momentum"]


def test_a_plan_comes_back_from_its_json(study):
    text = '[[enqueue]]\nunits = 64\n[budget]\nminutes = 2\n[hyperband]\nmode = "none"\n'
    plan = load_study(study(text, STUDY.replace('"digits"', '"digits"\nclasses = [3, 6]'))).plan
    assert StudyPlan.model_validate(json.loads(json.dumps(plan.model_dump(mode="json")))) == plan


@pytest.mark.parametrize(
    ("monitor", "direction"), [("val_accuracy", "maximize"), ("val_f1", "maximize"), ("val_loss", "minimize")]
)
def test_the_direction_follows_from_the_monitor(study, monitor, direction):
    assert load_study(study(f'[objective]\nmonitor = "{monitor}"\n')).plan.objective.direction == direction


def test_without_hyperband_the_ladder_has_one_rung(study):
    plan = load_study(study('[hyperband]\nmode = "none"\nmax_resource = 5\n')).plan
    assert plan.hyperband.ladder == Ladder.flat(5)


BAD = [
    ("[record]\nevery = 0", "record.every: must be at least 1 (came 0)"),
    ("[record]\nevery = 3\nevry = 3", 'record: unknown key "evry"; did you mean "every"?'),
    ("[early_stopping]\nmonitor = 'val_loss'", "early_stopping.patience: must be given"),
    ("[early_stopping]\npatience = 0", "early_stopping.patience: must be at least 1 (came 0)"),
    (
        "[early_stopping]\npatience = 26",
        "early_stopping.patience: must be at most 25, to do anything in 27 epochs (came 26)",
    ),
    (
        "[early_stopping]\npatience = 3\npatients = 3",
        'early_stopping: unknown key "patients"; did you mean "patience"?',
    ),
    (
        "[early_stopping]\nmonitor = 'val_acc'\npatience = 3",
        'early_stopping.monitor: unknown word "val_acc"; did you mean "val_accuracy"?',
    ),
    (
        "[early_stopping]\nmonitor = 'val_f1'\npatience = 3",
        'early_stopping.monitor: "val_f1" is measured only where it is objective.monitor (which is "val_accuracy")',
    ),
    ("[plateau]\npatience = 3\nfactor = 1.0", "plateau.factor: must be below 1"),
    ("[plateau]\npatience = 3\nmin_learning_rate = -1.0", "plateau.min_learning_rate: must be at least 0"),
    (
        "[plateau]\npatience = 3\nmin_learning_rate = 0.001",
        "plateau.min_learning_rate: must be below the learning rate (came 0.001, learning_rate = 0.001)",
    ),
    (
        '[plateau]\npatience = 3\n[training]\nschedule = "cosine"',
        "plateau: excludes a schedule of the learning rate; leave out [plateau] or training.schedule",
    ),
    (
        "[plateau]\npatience = 1\n[hyperband]\nmax_resource = 2",
        "plateau.patience: needs a run of 3 epochs or more, not 2 epochs (came 1)",
    ),
    (
        '[training]\nschedule = "cosin"',
        'training.schedule: unknown word "cosin"; did you mean "cosine"?',
    ),
    ("[training]\nschedule_evry = 3", 'training: unknown key "schedule_evry"; did you mean "schedule_every"?'),
    ('[training]\nschedule = "step"\nschedule_every = 0', "training.schedule_every: must be at least 1 (came 0)"),
    ('[training]\nschedule = "cosine"\nschedule_factor = 1.0', "training.schedule_factor: must be below 1"),
    ('[training]\nschedule = "step"', 'training.schedule_every: must be given for schedule = "step"'),
    (
        '[training]\nschedule = "step"\nschedule_every = 27',
        "training.schedule_every: a step schedule must act before the run ends (came 27); the run has 27 epochs",
    ),
    (
        '[training]\nschedule = "step"\nschedule_every = 14\nschedule_times = 2',
        "training.schedule_every: a step schedule must act before the run ends (came 14, schedule_times = 2); the run",
    ),
    (
        '[training]\nschedule = "cosine"\nschedule_every = 28',
        "training.schedule_every: must not be longer than the run (came 28); the run has 27 epochs",
    ),
    (
        '[training]\nschedule = "cosine"\nschedule_times = 2',
        'training.schedule_times: is for a step schedule (schedule = "cosine"); leave it out',
    ),
    (
        '[training]\nschedule = "exponential"\nschedule_factor = 0.0',
        'training.schedule_factor: must be above 0, or for "cosine" alone (came 0.0)',
    ),
    (
        '[training]\nschedule_unit = "step"',
        'training.schedule_unit: is for a schedule; set training.schedule to "step", "exponential" or "cosine"',
    ),
    ("[training]\nnesterov = 1", "training.nesterov: must be true or false (came 1)"),
    ("[budget]\ntrials = 0", "budget.trials: must be at least 1 (came 0)"),
    ("[budget]\ntrials = true", "budget.trials: must be a whole number (came true)"),
    ("[budget]\ntrials = '60'", 'budget.trials: must be a whole number (came "60")'),
    ("[budget]\ntrials = 2.0", "budget.trials: must be a whole number (came 2.0)"),
    ("[budget]\nminutes = 0", "budget.minutes: must be above 0"),
    ("[budget]\nminutes = nan", "budget.minutes: must be a finite number (came nan)"),
    ("[budget]\nminutes = true", "budget.minutes: must be a number (came true)"),
    ("[budget]\ntrails = 3", 'budget: unknown key "trails"; did you mean "trials"?'),
    ("[bugdet]\ntrials = 3", 'unknown key "bugdet"; did you mean "budget"?'),
    ("[hyperband]\nmin_resource = 0", "hyperband.min_resource: must be at least 1 (came 0)"),
    (
        "[hyperband]\nmin_resource = 9\nmax_resource = 3",
        "hyperband.max_resource: must be at least min_resource (max_resource = 3, min_resource = 9)",
    ),
    ("[hyperband]\nreduction_factor = 1", "hyperband.reduction_factor: must be at least 2 (came 1)"),
    ('[hyperband]\nmode = "stopp"', 'hyperband.mode: unknown word "stopp"; did you mean "stop"?'),
    (
        '[objective]\nmonitor = "val_acc"',
        'objective.monitor: unknown word "val_acc"; did you mean "val_accuracy"?',
    ),
    ('[sampler]\nname = "tpee"', 'sampler.name: unknown word "tpee"; did you mean "tpe"?'),
    ("[sampler]\nseed = -1", "sampler.seed: must be at least 0 (came -1)"),
    ("[training]\nlearning_rate = 0.0", "training.learning_rate: must be above 0"),
    ("[training]\nmomentum = 1.0", "training.momentum: must be below 1"),
    ("[training]\nlabel_smoothing = 1.0", "training.label_smoothing: must be below 1"),
    (
        '[training]\nclass_weight = "balance"',
        'training.class_weight: unknown word "balance"; did you mean "balanced"?',
    ),
    (
        '[training]\nloss = "mean_square_error"',
        'training.loss: unknown word "mean_square_error"; did you mean',
    ),
    ('[training]\njit_compile = "yes"', 'training.jit_compile: must be true or false or "auto" (came "yes")'),
    ("[retrain]\nseeds = 0", "retrain.seeds: must be at least 1 (came 0)"),
    (
        '[retrain]\ndata = "test"',
        'retrain.data: unknown word "test"; there ',
    ),
    ("[leaderboard]\ntest_top = -1", "leaderboard.test_top: must be at least 0 (came -1)"),
    ("[[enqueue]]\nunits = [1]", "enqueue[0].units: must be "),
]


@pytest.mark.parametrize(("text", "problem"), BAD)
def test_a_key_that_breaks_its_law_is_one_readable_line(study, text, problem):
    _, [line] = problems_of(study(text))
    assert line.startswith(problem)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ('source = "mnits"', 'data.source: unknown source "mnits"; did you mean "mnist"?'),
        ('source = "digits"\nvalidation = 0.0', "data.validation: must be above 0"),
        ('source = "digits"\nvalidation = 1', "data.validation: must be below 1"),
        (
            'source = "digits"\nclasses = [3]',
            "data.classes: must be two or more different classes (came [3])",
        ),
        ('source = "digits"\nclasses = [3, 3]', "data.classes: must be two or more different classes"),
        ('source = "digits"\nclasses = [true, false]', "data.classes[0]: must be"),
        ('source = "digits"\nseed = 1e3', "data.seed: must be a whole number (came 1000.0)"),
        ("validation = 0.2", "data.source: must be given"),
        (
            'source = "digits"\nnormalise = "channels"',
            'data.normalise: unknown word "channels"; did you mean "channel"?',
        ),
        ('source = "digits"\nmean = [0.5]', "data: mean and deviation must come together, one each a channel (1 and 0"),
        ('source = "digits"\nmean = [0.5]\ndeviation = [0.0]', "data.deviation[0]: must be above 0"),
        ('source = "digits"\nmean = []\ndeviation = []', "data.mean: must not be empty"),
        (
            'source = "digits"\nmean = [0.5]\ndeviation = [0.2]\nnormalise = "channel"',
            "data.normalise: must be left out where mean and deviation are given",
        ),
    ],
)
def test_data_that_break_a_law_are_refused(study, data, problem):
    _, lines = problems_of(study(text=STUDY.replace('source = "digits"', data)))
    assert lines[0].startswith(problem)


@pytest.mark.parametrize("source", ["cifar100", "./photos", "photos/cats", "iris.csv", "a.npz", "../b.tar.gz"])
def test_a_source_is_a_name_or_a_path(source):
    assert DataPlan(source=source).source == source


def test_normalisation_comes_from_the_training_split_or_from_the_file(study):
    assert load_study(study(), ["data.normalise=channel"]).plan.data.normalise == "channel"
    plan = load_study(study(), ["data.mean=[0.4914, 0.4822, 0.4465]", "data.deviation=[0.247, 0.243, 1]"]).plan
    assert (plan.data.mean, plan.data.deviation) == ((0.4914, 0.4822, 0.4465), (0.247, 0.243, 1.0))


def test_a_loss_may_be_smoothed_and_classes_balanced(study):
    text = '[training]\nloss = "binary_crossentropy"\nlabel_smoothing = 0.1\nclass_weight = "balanced"\n'
    training = load_study(study(text)).plan.training
    assert (training.loss, training.label_smoothing) == ("binary_crossentropy", 0.1)
    assert (training.class_weight, load_study(study()).plan.training.class_weight) == ("balanced", "none")


@pytest.mark.parametrize("name", ["../x", "", "a" * 65, "-x", "a b", "a\n", ".hidden", "<b>", "=cmd"])
def test_a_name_unfit_for_a_folder_is_refused(study, name):
    where, [line] = problems_of(study(text=STUDY.replace('"small"', json.dumps(name))))
    assert where.endswith("small.toml")
    assert line.startswith("name: must be 1 to 64 letters, digits, dots, dashes and underscores")


def test_all_problems_of_a_file_come_at_once(study):
    _, lines = problems_of(study("[budget]\ntrials = 0\n[sampler]\nseed = -1\n[objective]\nmonitr = 1\n"))
    assert len(lines) == 3


def test_an_unknown_space_is_a_problem_of_the_study_file(study):
    where, [line] = problems_of(study(text=STUDY.replace("./space.toml", "mlpp")))
    assert where.endswith("small.toml")
    assert line.startswith("space: ")
    assert '"mlp"' in line


def test_a_bad_space_is_reported_with_its_own_file(study):
    where, _ = problems_of(study(space=SPACE.replace("high = 128", "hihg = 128")))
    assert where.endswith("space.toml")


def test_enqueued_params_must_lie_in_the_space(study):
    text = '[[enqueue]]\nunits = 64\n[[enqueue]]\nunit = 64\n[[enqueue]]\ndropout = 0.9\noptimizer = "sgd"\n'
    _, lines = problems_of(study(text))
    assert lines[0] == 'enqueue[1]: unknown parameter "unit"; did you mean "units"?'
    assert lines[1].startswith("enqueue[2].dropout: ")


def test_a_parameter_in_place_of_a_training_key_keeps_the_law_of_the_key(study):
    extra = 'batch_size = { type = "int", low = 0, high = 64 }\nloss = { type = "fixed", value = "mse" }\n'
    _, lines = problems_of(study(space=SPACE + extra))
    assert lines[0] == "space: parameters.batch_size: must be at least 1 (came 0)"
    assert lines[1].startswith('space: parameters.loss: unknown word "mse"')


def test_a_parameter_in_place_of_a_training_key_is_welcome(study):
    extra = 'batch_size = { type = "ordinal", choices = [8, 16] }\nweight_decay = { type = "fixed", value = 0 }\n'
    assert "batch_size" in load_study(study(space=SPACE + extra)).space.parameters


def test_a_schedule_may_be_a_parameter_of_the_space_and_must_fit_into_the_run(study):
    extra = """
schedule = { type = "categorical", choices = ["none", "step", "cosine"] }
schedule_every = { type = "int", low = 5, high = 10, when = { schedule = "step" } }
nesterov = { type = "categorical", choices = [true, false], when = { optimizer = "sgd" } }
"""
    loaded = load_study(study(space=SPACE + extra))
    drawn = {"schedule": "step", "schedule_every": 5, "nesterov": True, "optimizer": "sgd"}
    assert loaded.space.scalar(drawn) == {"schedule_every": 5.0}
    _, [line] = problems_of(study(space=SPACE + extra), ["hyperband.max_resource=10"])
    assert line == (
        "space: parameters.schedule_every: a step schedule must act before the run ends (came 10); "
        "the run has 10 epochs"
    )


def test_nesterov_needs_sgd_with_a_momentum(study):
    space = 'model = "mlp"\n[parameters]\nunits = { type = "fixed", value = 8 }\n'
    law = 'training.nesterov: is for optimizer = "sgd" with a momentum'
    sgd, momentum = "training.optimizer=sgd", "training.momentum=0.9"
    assert load_study(study(space=space), ["training.nesterov=true", sgd, momentum]).plan.training.nesterov
    for missing in ([sgd], [momentum]):
        assert problems_of(study(space=space), ["training.nesterov=true", *missing]) == ("--set", [law])


def test_a_schedule_by_steps_is_looked_at_when_the_data_are_known(study):
    text = '[training]\nschedule = "step"\nschedule_every = 5000\nschedule_unit = "step"\n'
    assert load_study(study(text)).plan.training.schedule_every == 5000


def test_a_users_own_model_may_read_its_params_as_it_likes(study):
    own = SPACE.replace('"mlp"', '"my.models:build"').replace('"adam", "sgd"', '"lion", "sgd"')
    assert load_study(study(space=own)).space.model == "my.models:build"


def test_a_grid_needs_steps(study):
    _, [line] = problems_of(study('[sampler]\nname = "grid"\n'))
    assert line == 'sampler.name: "grid" needs a step in every float; there is none in "dropout" and "momentum"'


# --set


def test_numbers_of_numpy_in_tables_from_python_are_what_they_are_of_python():
    def loaded(whole, number, true):
        parameters = {
            "units": {"type": "categorical", "choices": [*whole([16, 32])]},
            "dropout": {"type": "float", "low": number(0), "high": number(0.5)},
            "batch_norm": {"type": "fixed", "value": true},
        }
        data = {"source": "digits", "seed": whole([3])[0], "classes": whole([1, 2])}
        tables = {"name": "tiny", "data": data, "enqueue": [{"units": whole([16])[0]}]}
        return study_of(tables, {"model": "mlp", "parameters": parameters})

    of_numpy, of_python = loaded(np.array, np.float32, np.bool_(True)), loaded(list, float, True)
    assert repr(of_numpy) == repr(of_python)
    assert repr(Categorical(choices=[*np.array([16, 32])])) == repr(Categorical(choices=[16, 32]))


def test_a_set_from_python_is_no_list_of_choices_or_classes():
    data = {"source": "digits", "classes": {1, 2}}
    with pytest.raises(InputError, match=r"data\.classes: must be a list, which has an order \(came {1, 2}\)"):
        study_of({"name": "tiny", "data": data}, "mlp")
    units = {"type": "ordinal", "choices": {16}}
    with pytest.raises(InputError, match=r"parameters\.units\.choices: must be a list, which has an order"):
        study_of({"name": "tiny", "data": data}, {"model": "mlp", "parameters": {"units": units}})


def test_overrides_are_toml_values_or_bare_words(study):
    changes = ["budget.trials=7", "budget.minutes=1.5", "training.jit_compile=true", "sampler.name=random"]
    plan = load_study(study("[budget]\ntrials = 3\n"), [*changes, "name=other", "data.classes=[3, 6]"]).plan
    assert (plan.budget.trials, plan.budget.minutes, plan.training.jit_compile) == (7, 1.5, True)
    assert (plan.sampler.name, plan.name, plan.data.classes) == ("random", "other", (3, 6))


def test_the_last_override_wins(study):
    assert load_study(study(), ["budget.trials=7", "budget.trials = 8"]).plan.budget.trials == 8


def test_an_override_may_mend_the_file(study):
    assert load_study(study("[budget]\ntrials = 0\n"), ["budget.trials=5"]).plan.budget.trials == 5


def test_an_override_with_equals_signs_and_line_breaks_is_text(study):
    plan = load_study(study(), ["data.target=a=b", "data.path=x\ny = 1"]).plan
    assert plan.data.target == "a=b"
    assert plan.data.path is not None
    assert plan.data.path.endswith("x\ny = 1")


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("budget.trials=0", "budget.trials: must be at least 1 (came 0)"),
        ("budget.trails=5", 'budget: unknown key "trails"; did you mean "trials"?'),
        ("bugdet.trials=5", 'unknown key "bugdet"; did you mean "budget"?'),
        ("budget=5", "budget: must be a table (came 5)"),
        ("budget.trials", 'must be section.key=value (came "budget.trials")'),
        (".=3", 'must be section.key=value (came ".=3")'),
        ("name.first=3", "name.first: name is no table"),
        ("sampler.name=", 'sampler.name: unknown word ""; there '),
        ("space=mlpp", "space: no space of this name"),
    ],
)
def test_a_bad_override_is_reported_as_such(study, override, problem):
    where, [line] = problems_of(study(), [override])
    assert where == "--set"
    assert line.startswith(problem)


def test_problems_of_the_file_and_of_overrides_come_together(study):
    where, lines = problems_of(study("[budget]\ntrials = 0\n"), ["sampler.seed=-1", "oops"])
    assert where.endswith("small.toml")
    assert lines == [
        "budget.trials: must be at least 1 (came 0)",
        '--set: must be section.key=value (came "oops")',
        "--set: sampler.seed: must be at least 0 (came -1)",
    ]


def test_paths_on_the_command_line_start_where_the_user_stands(study, tmp_path, monkeypatch):
    path = study()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "other.toml").write_text(SPACE)
    monkeypatch.chdir(tmp_path / "elsewhere")
    changes = ["space=other.toml", "data.path=mnist.npz", "data.source=./photos"]
    plan = load_study(path, changes).plan
    here = Path.cwd()
    assert (plan.space, plan.data.path) == (str(here / "other.toml"), str(here / "mnist.npz"))
    assert plan.data.source == str(here / "photos")


@pytest.mark.parametrize(
    "name", ["t.tsv", "t.tar.xz", "t.tbz2", "train-images-idx3-ubyte", "emnist-train-images-idx3-ubyte.gz"]
)
def test_every_kind_of_file_that_is_read_is_known_for_one_by_its_name(study, name):
    assert load_study(study(), [f"data.source={name}"]).plan.data.source == str(Path.cwd() / name)


# Fingerprints


def test_budget_retraining_leaderboard_and_enqueued_params_may_change(study):
    before = load_study(study())
    changes = [
        "budget.trials=9",
        "budget.minutes=3",
        "retrain.seeds=1",
        "record.every=10",
        "leaderboard.test_top=0",
        "name=other",
    ]
    after = load_study(study(), [*changes, "data.path=elsewhere.npz", "enqueue=[{units = 64}]"])
    assert differences(fingerprint(before.plan, before.space), fingerprint(after.plan, after.space)) == []


def test_a_study_from_before_there_were_class_weights_and_seeds_goes_on_without_them(study):
    loaded = load_study(study())
    new = fingerprint(loaded.plan, loaded.space)
    old = json.loads(json.dumps(new))
    for section, names in (
        ("training", ["label_smoothing", "nesterov", "schedule_every", "schedule_factor"]),
        ("data", ["normalise", "mean", "deviation"]),
    ):
        for name in names:
            del old[section][name]
    del old["early_stopping"], old["plateau"]
    assert not {"class_weight", "schedule"} & set(new["training"])
    assert "seeds" not in new["objective"]
    assert differences(old, new) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            "training.class_weight=balanced",
            'training.class_weight: nothing in the store, "balanced" in the file',
        ),
        (
            "early_stopping.patience=5",
            'early_stopping: nothing in the store, { monitor = "val_loss", patience = 5 } in the file',
        ),
        ("hyperband.max_resource=81", "hyperband.max_resource: 27 in the store, 81 in the file"),
        ("sampler.seed=1", "sampler.seed: 0 in the store, 1 in the file"),
        ("data.seed=1", "data.seed: 0 in the store, 1 in the file"),
        ("data.classes=[3, 6]", "data.classes: nothing in the store, [3, 6] in the file"),
        ("data.normalise=channel", 'data.normalise: nothing in the store, "channel" in the file'),
        (
            "objective.monitor=val_loss",
            'objective.monitor: "val_accuracy" in the store, "val_loss" in the file',
        ),
        ("training.jit_compile=true", 'training.jit_compile: "auto" in the store, true in the file'),
    ],
)
def test_a_change_of_what_was_searched_is_told_in_one_line(study, change, line):
    before, after = load_study(study()), load_study(study(), [change])
    assert differences(fingerprint(before.plan, before.space), fingerprint(after.plan, after.space)) == [line]


def test_a_change_of_the_space_is_told(study):
    before = load_study(study())
    after = load_study(study(space=SPACE.replace("high = 128", "high = 256").replace("dropout", "drop")))
    lines = differences(fingerprint(before.plan, before.space), fingerprint(after.plan, after.space))
    assert len(lines) == 3
    assert "space.parameters.units.high: 128 in the store, 256 in the file" in lines
    assert any(line.startswith("space.parameters.drop: nothing in the store, ") for line in lines)
    assert any(line.startswith("space.parameters.dropout: ") and "nothing in the file" in line for line in lines)


def test_a_fingerprint_comes_back_from_json(study):
    loaded = load_study(study())
    first = fingerprint(loaded.plan, loaded.space)
    assert json.loads(json.dumps(first)) == first
    assert differences(json.loads(json.dumps(first)), first) == []


def test_true_is_not_one_in_a_fingerprint():
    assert differences({"a": 1}, {"a": True}) == ["a: 1 in the store, true in the file"]


def test_a_section_that_the_store_does_not_know_is_a_difference():
    assert differences({}, {"data": {"hash": "ab"}}) == ['data: nothing in the store, { hash = "ab" } in the file']


def test_the_files_of_the_catalog_have_no_key_that_is_not_checked():
    for name in catalog_names(CATALOG):
        tables = tomllib.loads((CATALOG / f"{name}.toml").read_text())
        assert set(tables) <= set(StudyPlan.model_fields)
