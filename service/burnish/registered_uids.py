"""Ground: which SOP Classes and transfer syntaxes are registered in PS3.6.

What is not registered may be private, or newer than Burnish. A reader of media passes over it
(PS3.2 7.2).
"""

from functools import lru_cache

#: Transfer syntaxes that the dictionary of pydicom may not have yet: JPEG XL, compressed frames.
NEW_TRANSFER_SYNTAXES = frozenset(
    {
        "1.2.840.10008.1.2.1.98",
        "1.2.840.10008.1.2.4.110",
        "1.2.840.10008.1.2.4.111",
        "1.2.840.10008.1.2.4.112",
        "1.2.840.10008.1.2.8.1",
    }
)
#: Registered transfer syntaxes that are not encodings of PS3.5: MIME, XML and Papyrus 3.
OTHER_ENCODINGS = frozenset(
    {"1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2", "1.2.840.10008.1.20"}
)
#: SOP Classes that the dictionary of pydicom may not have yet (PS3.6 Table A-1).
NEW_SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.8": "Height Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.1": "Waveform Presentation State Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.2": "Waveform Acquisition Presentation State Storage",
}


@lru_cache(maxsize=1)
def transfer_syntaxes() -> frozenset[str]:
    """The transfer syntaxes that encode data sets as PS3.5 says."""
    return (_registered("Transfer Syntax") | NEW_TRANSFER_SYNTAXES) - OTHER_ENCODINGS


@lru_cache(maxsize=1)
def sop_classes() -> frozenset[str]:
    """All SOP Classes."""
    return _registered("SOP Class") | NEW_SOP_CLASSES.keys()


def _registered(kind: str) -> frozenset[str]:
    from pydicom._uid_dict import UID_dictionary

    return frozenset(uid for uid, entry in UID_dictionary.items() if entry[1] == kind)
