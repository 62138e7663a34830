"""Craft: judges volumes, ours against what should be on them, any against the standard."""

from burnish.verify.compare import compare
from burnish.verify.examine import examine
from burnish.verify.faults import FaultCode

__all__ = ["FaultCode", "compare", "examine"]
