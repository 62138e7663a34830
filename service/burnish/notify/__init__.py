"""Craft: sends messages to people: by a webhook, by e-mail, or by a command of the site.

`send` returns once the receiver has taken the message, and raises OperatorError if it has not. What
was decided before, and what comes after, is in the stage `notices/`.
"""

from burnish.notify.message import MessageItem, OutgoingMessage
from burnish.notify.sending import check, send

__all__ = ["MessageItem", "OutgoingMessage", "check", "send"]
