"""Craft: judges volumes of any maker by IHE PDI (RAD TF-2, RAD-47) and the DRG catalogue of 2006.

rules         the numbered rules: source, severity, what is expected, remedy
web_pages     what a web page loads, links to and runs; whether it is well-formed and valid
pdi_checks    a volume against the rules
disc_summary  what a volume holds, by its DICOMDIR
desk_report   the report as a page to print, for the person who imports discs
"""

from burnish.verify.pdi.pdi_checks import check_pdi
from burnish.verify.pdi.rules import Finding, PdiReport

__all__ = ["Finding", "PdiReport", "check_pdi"]
