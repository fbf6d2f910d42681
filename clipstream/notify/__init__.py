"""Tell others of a highlight when its clip is on disk: programs (`--on-clip`) and web services (`--webhook`).

`docs/notifications.md` says what they get, and what they can rely on.
"""

from clipstream.notify.message import Message
from clipstream.notify.outbox import Outbox, Patience, QueueStatus

__all__ = ["Message", "Outbox", "Patience", "QueueStatus"]
