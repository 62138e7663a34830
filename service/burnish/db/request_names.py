"""Ground: how people and directories name a request."""


def short_id(request_id: int) -> str:
    """R000042: nothing of the patient, nothing of the peer."""
    return f"R{request_id:06d}"
