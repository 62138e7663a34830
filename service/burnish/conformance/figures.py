"""Surface: the data-flow pictures of a statement (PS3.2 A.4.1.1, A.5.1.1)."""

from typing import NamedTuple

from burnish.conformance.document import Figure, FigureArrow, FigureBox
from burnish.settings import Settings

_ACTIVITY, _ENTITY, _REMOTE = "activity", "entity", "remote"


class _Exchange(NamedTuple):
    """A local activity, what happens at the peer, and the operations between them."""

    activity: tuple[str, str]
    peer: tuple[str, str]
    operations: str
    requested_here: bool = False
    both_ways: bool = False


_EXCHANGES = (
    _Exchange(("Store received", "instances"), ("Peer sends", "instances"), "C-STORE"),
    _Exchange(
        ("Make media", "on request"), ("Peer requests", "media"), "N-CREATE, N-ACTION, N-GET"
    ),
    _Exchange(
        ("Retrieve", "instances"),
        ("Archive is queried", "and sends instances"),
        "C-FIND, C-MOVE or C-GET",
        requested_here=True,
    ),
    _Exchange(
        ("Import media", "of others"),
        ("Archive stores", "instances"),
        "C-STORE",
        requested_here=True,
    ),
    _Exchange(
        ("Keep and commit", "instances"),
        ("Peer requests", "commitment"),
        "N-ACTION, N-EVENT-REPORT",
        both_ways=True,
    ),
    _Exchange(("Answer", "verification"), ("Peer verifies", "the connection"), "C-ECHO"),
    _Exchange(
        ("Test", "a peer"),
        ("Peer is verified", "or stores an instance"),
        "C-ECHO or C-STORE",
        requested_here=True,
    ),
)


def network_data_flow(settings: Settings) -> Figure:
    """Local activities, the AE, and what happens at its peers."""
    title = settings.dicom.ae_title
    height = 22.0
    total = len(_EXCHANGES) * height
    boxes = [FigureBox(66, 4, 40, total - 4, (title, "Application Entity"), _ENTITY)]
    arrows = []
    for number, exchange in enumerate(_EXCHANGES):
        top = 4 + number * height
        middle = top + 8
        boxes.append(FigureBox(2, top, 40, 16, exchange.activity, _ACTIVITY))
        boxes.append(FigureBox(138, top, 40, 16, exchange.peer, _REMOTE))
        arrows.append(FigureArrow((42, middle), (66, middle), both_ways=True))
        here, there = (106, middle), (138, middle)
        start, end = (here, there) if exchange.requested_here else (there, here)
        arrows.append(FigureArrow(start, end, exchange.operations, both_ways=exchange.both_ways))
    flows = (
        f"Peer → {title}: C-STORE; the instances are stored in the spool",
        f"Peer → {title}: N-CREATE, N-ACTION, N-GET; media are made on request",
        f"{title} → archive: C-FIND, then C-MOVE or C-GET, for instances that a request names and"
        " nobody has sent, or that a person chooses; the archive → it: C-STORE",
        f"{title} → archive: C-STORE; the instances of media are sent",
        f"Peer → {title}: N-ACTION (Storage Commitment); {title} → peer: N-EVENT-REPORT",
        f"Peer → {title}: C-ECHO",
        f"{title} → peer: C-ECHO or C-STORE, when a person tests the peer",
    )
    return Figure(
        "Network data flow", 180, total + 6, tuple(boxes), tuple(arrows), flows, barrier=135
    )


def media_data_flow(_settings: Settings) -> Figure:
    """Local activities, the media AE, and media."""
    activities = (
        ("Create media", "for a request"),
        ("Add to an", "open CD"),
        ("Examine, label,", "import media"),
    )
    labels = ("FSC", "FSU", "FSR")
    media = (("New media", ""), ("CD left open", ""), ("Media of", "any maker"))
    height = 22.0
    boxes = [
        FigureBox(66, 4, 40, 3 * height - 6, ("Burnish", "media", "Application Entity"), _ENTITY)
    ]
    arrows = []
    for number, (activity, label, medium) in enumerate(zip(activities, labels, media, strict=True)):
        top = 4 + number * height
        middle = top + 8
        boxes.append(FigureBox(2, top, 40, 16, activity, _ACTIVITY))
        boxes.append(FigureBox(138, top, 40, 16, tuple(filter(None, medium)), _REMOTE))
        arrows.append(FigureArrow((42, middle), (66, middle), both_ways=True))
        start, end = (
            ((138, middle), (106, middle)) if label == "FSR" else ((106, middle), (138, middle))
        )
        arrows.append(FigureArrow(start, end, label, both_ways=label == "FSU"))
    flows = (
        "Request or `burnish disc build` → media AE → new media (FSC)",
        "`burnish disc append` → media AE ↔ CD that was left open (FSU)",
        "media of any maker → media AE → `burnish disc verify`, `disc label`, `disc append`,"
        " `disc import` (FSR)",
    )
    return Figure(
        "Media data flow", 180, 3 * height + 4, tuple(boxes), tuple(arrows), flows, barrier=135
    )
