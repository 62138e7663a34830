"""Craft: judges volumes, ours against what should be on them, any against the standard."""

from burnish.verify.compare import compare_volume
from burnish.verify.examine import examine_volume
from burnish.verify.faults import FaultCode

__all__ = ["FaultCode", "compare_volume", "examine_volume"]
