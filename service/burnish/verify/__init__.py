"""Craft: verifies volumes: a written one against its plan, any other against the standard.

compare           every byte of a written volume against what was to be written
examine           any volume against PS3.3 F, PS3.10, PS3.12 and an Application Profile
data_set_walk     all elements of a data set, to any depth
data_set_checks   what is wrong with elements and with pixel data: faults and notes
key_checks        the keys of records against the files
encrypted_volume  a volume of Secure DICOM Files, without its keys
snapshot          what a volume holds, so that changes to it are found later
faults            the codes of all faults
"""

from burnish.verify.compare import compare_volume
from burnish.verify.examine import examine_volume, unreadable_report
from burnish.verify.faults import FaultCode

__all__ = ["FaultCode", "compare_volume", "examine_volume", "unreadable_report"]
