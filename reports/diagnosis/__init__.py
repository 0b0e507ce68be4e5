"""What there is to know of a chosen classifier beyond its accuracy: classes, confidence, samples, weights, training."""

from reports.diagnosis.files import read, write
from reports.diagnosis.making import boundary_grid, diagnose
from reports.diagnosis.values import Diagnosis

__all__ = ["Diagnosis", "boundary_grid", "diagnose", "read", "write"]
