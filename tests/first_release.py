"""A store as toprung 0.1.0 wrote it, row by row, with nothing of toprung's own code."""

import json
import sqlite3

import optuna

DATA_HASH = "57ec43b01126335f5f366a529b6b001c4cbd0a479ac9344c73f2c074dd5e4ef4"  # of running.make_study's arrays
BOUNDS = {
    "learning_rate": {"low": 0.0001, "high": 0.1, "log": True, "type": "float"},
    "momentum": {"low": 0.0, "high": 0.9, "log": False, "type": "float"},
    "units": {"low": 32, "high": 128, "step": 2, "log": True, "type": "int"},
    "optimizer": {"choices": ["adam", "sgd"], "type": "categorical"},
}
WHEN = {"learning_rate": {}, "momentum": {"optimizer": ["sgd"]}, "units": {}, "optimizer": {}}
DATA = {
    "source": "data.npz", "validation": 0.2, "test": 0.2, "seed": 0, "classes": None, "target": None,
    "normalise": None, "mean": None, "deviation": None,
}  # fmt: skip
TRAINING = {
    "batch_size": 32, "loss": "sparse_categorical_crossentropy", "label_smoothing": None, "optimizer": "adam",
    "learning_rate": 0.001, "momentum": None, "weight_decay": None, "precision": "float32", "jit_compile": "auto",
}  # fmt: skip
SEARCH = {
    "objective": {"monitor": "val_accuracy"},
    "hyperband": {"min_resource": 1, "max_resource": 3, "reduction_factor": 3, "mode": "promote"},
    "sampler": {"name": "tpe", "seed": 0},
}
FINGERPRINT = {
    "space": {"model": "mlp", "parameters": {name: {"when": WHEN[name], **BOUNDS[name]} for name in sorted(BOUNDS)}},
    "data": DATA, **SEARCH, "training": TRAINING, "data_hash": DATA_HASH,
}  # fmt: skip
PLAN = {
    "name": "tiny", "space": "space.toml", "data": {**DATA, "path": None}, **SEARCH,
    "training": {**TRAINING, "class_weight": "none"}, "budget": {"trials": 3, "minutes": None},
    "retrain": {"seeds": 1, "data": "train+validation"}, "leaderboard": {"test_top": 20}, "enqueue": [],
}  # fmt: skip
SPACE = {
    "description": "", "model": "mlp",
    "parameters": {name: {"when": WHEN[name], "per": None, **BOUNDS[name]} for name in BOUNDS},
}  # fmt: skip
TRIALS = [
    ("PRUNED", [0.39], {"units": 64, "optimizer": "adam", "learning_rate": 0.0014}),
    ("PRUNED", [0.22], {"units": 128, "optimizer": "sgd", "learning_rate": 0.0002, "momentum": 0.26}),
    ("COMPLETE", [0.44, 0.52, 0.6], {"units": 64, "optimizer": "sgd", "learning_rate": 0.04, "momentum": 0.66}),
]
TEST = {"metrics": {"test_accuracy": 0.59, "test_loss": 1.0}, "gap": 0.01, "gap_se": 0.16}
KINDS = {"int": "IntDistribution", "float": "FloatDistribution", "categorical": "CategoricalDistribution"}
MOMENT = "2026-11-25 20:40:06.000000"


def write(path, base, **attributes):
    """Make the store with the study `tiny`, whose search has ended; attributes of the study may be changed."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")  # Optuna's own tables
    storage.remove_session()
    storage.engine.dispose()
    database = sqlite3.connect(path)
    with database:
        _study(database, base, attributes)
        for number, trial in enumerate(TRIALS):
            _trial(database, number, *trial)
    database.close()


def _study(database, base, changed):
    user = {
        "uuid": "3df45123fadb425da1db986c8585dc6b", "created": "2026-11-25T20:40:05.660509+00:00",
        "fingerprint": json.dumps(FINGERPRINT), "monitor": "val_accuracy", "plan": json.dumps(PLAN),
        "space": SPACE, "data": {"hash": DATA_HASH, "n_train": 48, "n_validation": 12, "classes": ["0", "1", "2"],
                                 "base": str(base)},
        "state": "finished", "now": {"at": "2026-11-25T20:40:06+00:00", "elapsed": 0.1, "workers": []},
        "n_test": 30, "test:2": TEST,
    } | changed  # fmt: skip
    database.execute("INSERT INTO studies VALUES (1, 'tiny')")
    database.execute("INSERT INTO study_directions VALUES (1, 'MAXIMIZE', 1, 0)")
    database.execute("INSERT INTO study_system_attributes VALUES (1, 1, 'study:metric_names', '[\"val_accuracy\"]')")
    rows = [(key, json.dumps(value)) for key, value in user.items()]
    database.executemany("INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, ?, ?)", rows)


def _trial(database, number, state, curve, params):
    trial = number + 1
    database.execute("INSERT INTO trials VALUES (?, ?, 1, ?, ?, ?)", (trial, number, state, MOMENT, MOMENT))
    user = {
        "bracket": 0, "epochs": len(curve), "best_epoch": len(curve), "weights": 1000, "seconds": 1.0,
        "val_accuracy": curve[-1], "val_loss": 1 - curve[-1],
    }  # fmt: skip
    system = {
        "toprung:paused": False, "toprung:history": {"val_accuracy": curve, "val_loss": [1 - v for v in curve]},
        "toprung:rungs": {str(rung): curve[rung - 1] for rung in (1, 3) if rung <= len(curve)},
    }  # fmt: skip
    for kind, values in (("user", user), ("system", system)):
        rows = [(trial, key, json.dumps(value)) for key, value in values.items()]
        database.executemany(f"INSERT INTO trial_{kind}_attributes (trial_id, key, value_json) VALUES (?, ?, ?)", rows)
    for name, value in params.items():
        stored = BOUNDS[name]["choices"].index(value) if name == "optimizer" else value
        row = (trial, name, float(stored), json.dumps(_distribution(name)))
        columns = "(trial_id, param_name, param_value, distribution_json)"
        database.execute(f"INSERT INTO trial_params {columns} VALUES (?, ?, ?, ?)", row)
    database.execute("INSERT INTO trial_values VALUES (?, ?, 0, ?, 'FINITE')", (trial, trial, curve[-1]))
    columns = "(trial_id, step, intermediate_value, intermediate_value_type)"
    rows = [(trial, epoch, value) for epoch, value in enumerate(curve, 1)]
    database.executemany(f"INSERT INTO trial_intermediate_values {columns} VALUES (?, ?, ?, 'FINITE')", rows)


def _distribution(name):
    bounds = BOUNDS[name]
    if name == "optimizer":
        return {"name": KINDS["categorical"], "attributes": {"choices": bounds["choices"]}}
    step = 1 if bounds["type"] == "int" else None
    attributes = {"log": bounds["log"], "step": step, "low": bounds["low"], "high": bounds["high"]}
    return {"name": KINDS[bounds["type"]], "attributes": attributes}
