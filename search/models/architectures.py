"""Networks with a name: the params of the dense and convolutional networks that people compare theirs with."""

from __future__ import annotations

from dataclasses import dataclass

from spaces.parameters import Params
from spaces.relations import base_name


@dataclass(frozen=True)
class Architecture:
    """A family with some of its params given.

    Attributes:
        family: "mlp" or "cnn".
        params: As a trial would have them.
    """

    family: str
    params: Params

    def completed(self, params: Params) -> Params:
        """Params with what they leave out; a value for all layers replaces what single layers have here.

        A layer without an activation stays so, unless it is given one by its own name.
        """
        kept = {
            name: value for name, value in self.params.items() if value == "linear" or base_name(name) not in params
        }
        return {**kept, **params}


def _convolutions(filters: str, kernels: str, pools: str) -> Params:
    """Blocks without padding and no dense layer but the last; one number a block each."""
    columns = {"filters": filters, "kernel_size": kernels, "pool": pools}
    blocks = {
        f"{name}_{index}": int(number) for name, text in columns.items() for index, number in enumerate(text.split())
    }
    return {"blocks": len(filters.split()), **blocks, "padding": "valid", "units": 0}


ARCHITECTURES = {
    "mlp1": Architecture("mlp", {"layers": 1, "units": 32}),
    "mlp2": Architecture("mlp", {"layers": 2, "units_0": 32, "units_1": 64, "bias_1": False, "activation_1": "linear"}),
    "mlp3": Architecture(
        "mlp",
        {
            **{"layers": 3, "units_0": 512, "units_1": 256, "units_2": 128},
            **{"dropout_0": 0.3, "dropout_1": 0.4, "dropout_2": 0.5},
        },
    ),
    "mlp128": Architecture("mlp", {"layers": 1, "units": 128}),
    "cnn3": Architecture("cnn", {**_convolutions("16 8 16", "3 5 7", "1 2 2"), "activation_2": "linear"}),
    "cnn4": Architecture("cnn", _convolutions("16 8 16 16", "3 3 5 5", "1 1 2 2")),
    "cnn5": Architecture("cnn", _convolutions("8 16 8 16 16 8", "3 3 3 3 3 3", "1 1 1 2 1 2")),
    "cnn_norm": Architecture(
        "cnn",
        {
            **{"blocks": 3, "filters_0": 32, "filters_1": 64, "filters_2": 64, "pool_2": 1},
            **{"units": 64, "batch_norm": True},
        },
    ),
    "cnn_norm_deep": Architecture(
        "cnn",
        {
            **{f"filters_{index}": width for index, width in enumerate((32, 32, 64, 64, 128, 128))},
            **{f"pool_{index}": 1 + index % 2 for index in range(6)},
            **{"blocks": 6, "units": 128, "batch_norm": True, "dropout": 0.2, "dense_dropout": 0.5},
        },
    ),
}
"""By name; the weights follow from the images (cnn4 has 13,810 for 32 x 32 colour images and ten classes)."""
