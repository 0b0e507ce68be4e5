import sys
from types import SimpleNamespace

import pytest

from search.devices import Slot, choose_backend, find_slots, visible_gpus, worker_environment
from search.errors import SearchError


def test_without_a_gpu_every_core_gets_a_worker_of_one_thread():
    assert find_slots(None, 1, [], cores=4) == [Slot(None, 1, 1)] * 4


def test_threads_are_divided_between_workers():
    assert [slot.threads for slot in find_slots(2, 1, [], cores=8)] == [4, 4]
    assert [slot.threads for slot in find_slots(3, 1, [], cores=2)] == [1, 1, 1]


def test_a_gpu_gets_one_worker_by_default_and_several_on_request():
    assert [slot.gpu for slot in find_slots(None, 1, ["0", "1"], cores=8)] == ["0", "1"]
    shared = find_slots(None, 2, ["0", "1"], cores=8)
    assert [(slot.gpu, slot.sharers, slot.threads) for slot in shared] == [
        ("0", 2, 2),
        ("1", 2, 2),
        ("0", 2, 2),
        ("1", 2, 2),
    ]


def test_more_workers_than_gpu_slots_are_refused_with_the_option_that_helps():
    with pytest.raises(SearchError, match="--slots-per-gpu"):
        find_slots(3, 1, ["0", "1"], cores=8)


@pytest.mark.parametrize(("value", "gpus"), [("", []), ("-1", []), ("2", ["2"]), ("0,3", ["0", "3"])])
def test_cuda_visible_devices_restricts_the_gpus(value, gpus):
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": value}) == gpus


def test_gpus_are_asked_of_the_driver(tmp_path, monkeypatch):
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA H200 (UUID: GPU-2)'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert visible_gpus({}) == ["0", "1"]


def test_a_driver_that_answers_with_an_error_means_no_gpu(tmp_path, monkeypatch):
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert visible_gpus({}) == []


def test_a_worker_sees_its_gpu_alone_and_no_secrets():
    shell = {"PATH": "/bin", "DATABASE_PASSWORD": "secret", "KERAS_BACKEND": "jax", "LC_ALL": "C"}
    environment = worker_environment(Slot("1", 2, 4), "tensorflow", shell)
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert environment["KERAS_BACKEND"] == "tensorflow"
    assert environment["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert environment["OMP_NUM_THREADS"] == "4"
    assert (environment["LC_ALL"], "DATABASE_PASSWORD" in environment) == ("C", False)


def test_what_the_shell_says_of_memory_and_compiled_programs_is_left_as_it_is(tmp_path):
    told = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "false"}
    told["JAX_COMPILATION_CACHE_DIR"] = "/mine"
    environment = worker_environment(Slot("0", 1, 4), "jax", told, compiled=tmp_path)
    assert {name: environment[name] for name in told} == told
    usual = worker_environment(Slot("0", 1, 4), "jax", {}, compiled=tmp_path)
    assert usual["XLA_PYTHON_CLIENT_PREALLOCATE"] == "true"
    assert usual["JAX_COMPILATION_CACHE_DIR"].startswith(str(tmp_path))


def test_a_worker_on_cores_sees_no_gpu_and_its_share_of_threads():
    environment = worker_environment(Slot(None, 1, 1), "jax", {"XLA_FLAGS": "--one"})
    assert environment["CUDA_VISIBLE_DEVICES"] == "-1"
    assert environment["XLA_FLAGS"].split() == [
        "--one",
        "--xla_cpu_multi_thread_eigen=false",
        "intra_op_parallelism_threads=1",
    ]


def test_the_backend_is_the_option_then_the_variable_then_tensorflow():
    assert choose_backend("jax", {"KERAS_BACKEND": "tensorflow"}) == "jax"
    assert choose_backend(None, {"KERAS_BACKEND": "jax"}) == "jax"
    assert choose_backend(None, {}) == "tensorflow"


def test_an_unknown_or_missing_backend_is_refused():
    with pytest.raises(SearchError, match="tensorflow, jax, torch"):
        choose_backend("theano", {})
    with pytest.raises(SearchError, match="pip install torch") as caught:
        choose_backend("torch", {})
    assert caught.value.exit_code == 3


def test_the_gpus_of_another_backend_are_those_that_pytorch_sees(monkeypatch):
    from search.programs import fit

    monkeypatch.setitem(sys.modules, "torch", None)
    assert fit.accelerators() == []
    cuda = SimpleNamespace(device_count=lambda: 2, get_device_name=lambda gpu: f"GPU {gpu}")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert fit.accelerators() == ["GPU 0", "GPU 1"]
