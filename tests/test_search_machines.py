"""What trials of one structure share in a worker, and what those of others do."""

import pytest
from trainers import PARAMS, make_blobs, make_trainer, train

pytestmark = pytest.mark.backend


def test_a_network_without_dense_layers_trains_after_one_that_has_some(tmp_path):
    trainer = make_trainer(make_blobs(tmp_path), model="cnn")
    for trial, units in enumerate((8, 0, 4)):
        params = PARAMS | {"blocks": 1, "filters": 4, "units": units}
        assert len(train(trainer, 1, params, trial=trial, structure=str(units))) == 1
