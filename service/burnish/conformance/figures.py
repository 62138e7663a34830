"""Surface: the data-flow pictures of a statement (PS3.2 A.4.1.1, A.5.1.1)."""

from burnish.conformance.document import Figure, FigureArrow, FigureBox
from burnish.settings import Settings

_ACTIVITY, _ENTITY, _REMOTE = "activity", "entity", "remote"


def network_data_flow(settings: Settings) -> Figure:
    """Local activities, the AE, and what happens at its peers."""
    title = settings.dicom.ae_title
    activities = (
        ("Store received", "instances"),
        ("Make media", "on request"),
        ("Retrieve missing", "instances"),
        ("Keep and commit", "instances"),
        ("Answer", "verification"),
    )
    peers = (
        ("Peer sends", "instances"),
        ("Peer requests", "media"),
        ("Archive is queried", "and sends instances"),
        ("Peer requests", "commitment"),
        ("Peer verifies", "the connection"),
    )
    labels = (
        "C-STORE",
        "N-CREATE, N-ACTION, N-GET",
        "C-FIND, C-MOVE or C-GET",
        "N-ACTION, N-EVENT-REPORT",
        "C-ECHO",
    )
    height = 22.0
    boxes = [FigureBox(66, 4, 40, 5 * height - 4, (title, "Application Entity"), _ENTITY)]
    arrows = []
    for number, (activity, peer, label) in enumerate(zip(activities, peers, labels, strict=True)):
        top = 4 + number * height
        middle = top + 8
        boxes.append(FigureBox(2, top, 40, 16, activity, _ACTIVITY))
        boxes.append(FigureBox(138, top, 40, 16, peer, _REMOTE))
        arrows.append(FigureArrow((42, middle), (66, middle), both_ways=True))
        is_requested_here = number == 2
        start, end = (
            ((106, middle), (138, middle)) if is_requested_here else ((138, middle), (106, middle))
        )
        arrows.append(FigureArrow(start, end, label, both_ways=number == 3))
    flows = (
        f"Peer → {title}: C-STORE; the instances are stored in the spool",
        f"Peer → {title}: N-CREATE, N-ACTION, N-GET; media are made on request",
        f"{title} → archive: C-FIND, then C-MOVE or C-GET, for instances that a request names and"
        " nobody has sent; the archive → it: C-STORE",
        f"Peer → {title}: N-ACTION (Storage Commitment); {title} → peer: N-EVENT-REPORT",
        f"Peer → {title}: C-ECHO",
    )
    return Figure(
        "Network data flow", 180, 5 * height + 6, tuple(boxes), tuple(arrows), flows, barrier=135
    )


def media_data_flow(_settings: Settings) -> Figure:
    """Local activities, the media AE, and media."""
    activities = (
        ("Create media", "for a request"),
        ("Add to an", "open CD"),
        ("Examine, label", "or read media"),
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
        "media of any maker → media AE → `burnish disc verify`, `disc label`, `disc append` (FSR)",
    )
    return Figure(
        "Media data flow", 180, 3 * height + 4, tuple(boxes), tuple(arrows), flows, barrier=135
    )
