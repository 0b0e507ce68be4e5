"""Keras as a worker imports it."""

import os
import subprocess
import sys
import typing
from types import SimpleNamespace
from typing import ForwardRef, get_type_hints

import pytest

from search.quick_import import quick_import

PROGRAM = """
import sys
from search.quick_import import quick_import
with quick_import(everything=False):
    import keras
    import tensorflow as tf
lazy = type(sys.modules["tensorflow._api.v2.compat"]).__name__
print(lazy, "sklearn" in sys.modules)
print(tf.compat.v1.Session.__name__, tf.lite.Interpreter.__name__, tf.keras.layers.Dense.__name__)
import pandas, sklearn
print(keras.layers.Dense(1)(keras.ops.ones((2, 3))).shape, sklearn.__name__)
"""


@pytest.mark.slow
def test_what_a_worker_left_out_is_there_when_it_is_asked_for():
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout.splitlines() == ["_LazyModule False", "Session Interpreter Dense", "(2, 1) sklearn"]


NAMES = """
import sys
from search.quick_import import quick_import
if sys.argv[1] == "quick":
    with quick_import(everything=False):
        import keras
import tensorflow as tf

def names(module, prefix, seen):
    for name in sorted(dir(module)):
        if not name.startswith("_") and prefix + name not in ("tf.keras", "tf.estimator"):
            found = getattr(module, name)
            is_module = type(found).__name__ in ("module", "_LazyModule")  # TensorFlow's own lazy ones aren't its API
            public = is_module and found.__name__.startswith("tensorflow._api")
            if public and id(found) not in seen:
                names(found, f"{prefix}{name}.", seen | {id(found)})
            print(prefix + name, public)

names(tf, "tf.", frozenset())
"""


@pytest.mark.slow
def test_tensorflow_has_all_its_public_names_in_a_worker():
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    quick, plain = (
        subprocess.run([sys.executable, "-c", NAMES, how], env=environment, capture_output=True, text=True, check=True)
        for how in ("quick", "plain")
    )
    assert quick.stdout == plain.stdout
    assert quick.stdout.count("\n") > 5_000


def test_equal_types_in_quotes_are_types_of_their_own_though_compiled_once():
    with quick_import(everything=True):
        first, second = ForwardRef("list[int]"), ForwardRef("list[int]")
    assert first is not second
    hints = get_type_hints(SimpleNamespace(__annotations__={"a": first, "b": second}))
    assert hints == {"a": list[int], "b": list[int]}
    assert "compile" not in vars(typing)


BEFORE_WORKERS = """
import os, subprocess, sys
from search.cli import main

def start(self, *arguments, **options):
    print([name for name in ("numpy", "optuna", "sqlalchemy", "pandas", "keras") if name in sys.modules], flush=True)
    os._exit(0)

subprocess.Popen.__init__ = start
sys.argv = ["toprung", "run", "digits", "--out", sys.argv[1]]
main()
"""


def test_workers_are_started_before_the_command_imports_what_takes_long(tmp_path):
    command = [sys.executable, "-c", BEFORE_WORKERS, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "[]"
