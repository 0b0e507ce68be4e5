"""Architectures by name, of which a trial may change what it likes."""

from __future__ import annotations

from typing import Any

from search.models.architectures import ARCHITECTURES
from search.models.cnn import build_cnn
from search.models.mlp import build_mlp
from search.models.parts import Reader
from search.models.purpose import Purpose
from search.scalars import Scalars
from spaces.parameters import Params


def build_named(params: Params, purpose: Purpose, scalars: Scalars) -> Any:
    """The network that `architecture` (mlp1) names; other params fill it in or change it, as its family reads them."""
    architecture = ARCHITECTURES[Reader("named", params).word("architecture", "mlp1")]
    build = build_mlp if architecture.family == "mlp" else build_cnn
    return build(architecture.completed(params), purpose, scalars)
