"""The embedded broker: kombu's filesystem transport, made safe for several processes.

A message appears in the queue's folder only when it is written whole. kombu's own
transport creates the file under its final name first, so that a reader may take it while empty.
"""

import uuid
from pathlib import Path
from time import time_ns

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    """A filesystem channel whose messages appear whole, and in order across reboots too."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        for folder in (self.data_folder_in, self.data_folder_out, self.control_folder):
            Path(folder).mkdir(parents=True, exist_ok=True)

    # kombu's two base classes disagree on the second argument's name.
    def _put(self, queue: str, payload: object, **_: object) -> None:  # type: ignore[override]
        # Wall-clock time where kombu uses the monotonic clock, which starts anew at each boot.
        target = Path(self.data_folder_out) / f"{time_ns():020d}_{uuid.uuid4()}.{queue}.msg"
        # Readers compare all that follows a name's first dot with "<queue>.msg": never this one.
        partial = target.with_name(f".{target.name}.part")
        partial.write_text(dumps(payload), encoding="utf-8")
        partial.rename(target)


class Transport(filesystem.Transport):
    """What `broker_transport` names."""

    Channel = Channel
