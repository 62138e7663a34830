"""Stage: what people and programs do with requests, each named by its short id or UID.

Page, REST and command line call these. Each action is one transaction, and answers with the request
as it is then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from burnish.db.session import Database
from burnish.errors import Unknown
from burnish.request import changes, listing, media_orders, operations, repeated_calls
from burnish.request.media_orders import MediaOrder
from burnish.request.operations import NewRequest
from burnish.request.repeated_calls import RepeatedCall
from burnish.request.views import RequestLine
from burnish.settings import Settings
from burnish.values import Actor
from burnish.vocabulary import RequestPriority


@dataclass(frozen=True, slots=True)
class NamedAction:
    """An action that needs nothing but the request; `undo` names the action that takes it back."""

    operation: Callable[..., Any]
    undo: str = ""


#: The actions of `RequestActions.do`.
NAMED_ACTIONS: Mapping[str, NamedAction] = {
    "cancel": NamedAction(operations.cancel),
    "retry": NamedAction(operations.retry),
    "hold": NamedAction(operations.hold, undo="release"),
    "release": NamedAction(operations.release, undo="hold"),
}


@dataclass(frozen=True, slots=True)
class CreatedRequest:
    """A new request; with `is_new` false, the one that the same call created before."""

    line: RequestLine
    is_new: bool


@dataclass(frozen=True, slots=True)
class RequestActions:
    """The actions of one person or program. Every one may raise Unknown, NotNow, Conflict."""

    database: Database
    settings: Settings
    actor: Actor

    def create(self, order: MediaOrder, call: RepeatedCall | None = None) -> CreatedRequest:
        """Request media, and have them made at once if the order says so.

        `call` is what tells the same call again. Raises also InvalidValue, MissingValue.
        """
        with self.database.writing() as session:
            if call is not None:
                uid = repeated_calls.earlier_request(session, call)
                if uid is not None:
                    return CreatedRequest(listing.find_request(session, uid), is_new=False)
            self.check_device(order.device)
            attributes = order.attributes
            operations.check_label(
                attributes.get("label_style_selection", ""),
                attributes.get("barcode_symbology", ""),
            )
            references = media_orders.references(session, order)
            media_orders.check_patients(session, order, references)
            request = operations.create(
                session,
                self.settings.request,
                NewRequest(references, order.attributes),
                origin="administrator",
                device=order.device,
                actor=self.actor,
            )
            if order.initiate:
                self._initiate(session, request.sop_instance_uid, order.copies, order.priority)
            if call is not None:
                repeated_calls.remember(session, call, request.id)
            line = listing.find_request(session, request.sop_instance_uid)
        return CreatedRequest(line, is_new=True)

    def do(self, action: str, name: str) -> RequestLine:
        """Do one of the NAMED_ACTIONS with a request."""
        if action not in NAMED_ACTIONS:
            raise Unknown(f"no action {action}", hint=f"there are {', '.join(NAMED_ACTIONS)}")
        operation = NAMED_ACTIONS[action].operation
        return self._change(name, lambda session, uid: operation(session, uid, actor=self.actor))

    def initiate(
        self, name: str, *, copies: int | None = None, priority: RequestPriority | None = None
    ) -> RequestLine:
        """Start a request that was only created."""
        return self._change(
            name, lambda session, uid: self._initiate(session, uid, copies, priority)
        )

    def set_priority(self, name: str, priority: RequestPriority) -> RequestLine:
        """Have a request made sooner or later than others."""
        return self._change(
            name,
            lambda session, uid: changes.set_priority(session, uid, priority, actor=self.actor),
        )

    def move_to_device(self, name: str, device: str) -> RequestLine:
        """Have another device make what is left of a request; "" for any."""
        devices = self.settings.devices
        return self._change(
            name,
            lambda session, uid: changes.move_to_device(
                session, uid, device, devices, actor=self.actor
            ),
        )

    def set_label(self, name: str, **texts: str | None) -> RequestLine:
        """Change what the labels say, before one is printed; the texts are those of `changes`."""
        return self._change(
            name,
            lambda session, uid: changes.set_label(session, uid, **texts, actor=self.actor),
        )

    def add_copies(self, name: str, copies: int) -> RequestLine:
        """Make more copies; answers with the request that makes them, a new one after the end."""
        with self.database.writing() as session:
            uid = listing.find_request(session, name).sop_instance_uid
            maker = changes.add_copies(
                session, self.settings.request, uid, copies, actor=self.actor
            )
            return listing.find_request(session, maker.sop_instance_uid)

    def repeat(
        self,
        name: str,
        *,
        copies: int | None = None,
        priority: RequestPriority | None = None,
        device: str | None = None,
        even_if_missing: bool = False,
    ) -> RequestLine:
        """Make the media again by a new request, which is the answer. None: as it was."""
        self.check_device(device or "")
        with self.database.writing() as session:
            uid = listing.find_request(session, name).sop_instance_uid
            again = changes.repeat(
                session,
                self.settings.request,
                uid,
                copies=copies,
                priority=priority,
                device=device,
                even_if_missing=even_if_missing,
                actor=self.actor,
            )
            return listing.find_request(session, again.sop_instance_uid)

    def split(self, name: str) -> list[RequestLine]:
        """Replace a request by one for each of its patients; answers with these."""
        with self.database.writing() as session:
            uid = listing.find_request(session, name).sop_instance_uid
            parts = changes.split_by_patient(session, self.settings.request, uid, actor=self.actor)
            return [listing.find_request(session, part.sop_instance_uid) for part in parts]

    def check_device(self, name: str) -> None:
        """Raise Unknown if a name is that of no device; "" is any device."""
        if name and name not in [device.name for device in self.settings.devices]:
            raise Unknown(f"no device {name}", hint="`burnish device list` shows the devices")

    # --- parts ---

    def _change(self, name: str, change: Callable[[Session, str], Any]) -> RequestLine:
        with self.database.writing() as session:
            uid = listing.find_request(session, name).sop_instance_uid
            change(session, uid)
            return listing.find_request(session, uid)

    def _initiate(
        self, session: Session, uid: str, copies: int | None, priority: RequestPriority | None
    ) -> None:
        operations.initiate(
            session,
            self.settings.request,
            uid,
            number_of_copies=copies,
            request_priority=priority,
            actor=self.actor,
        )
