"""What a client is made with, beside the egress policy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ecosystems.upstream.backoff import PROCESS_BACKOFF, Backoff
from ecosystems.upstream.credential import Credential
from ecosystems.upstream.limits import Limits
from ecosystems.upstream.slots import Slots


# Without a repr: the proxy's address carries a password.
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ClientSettings:
    """`slots` None: of its own. `ca_files`: authorities beside the public ones."""

    credential: Credential | None = None
    proxy: str | None = None
    limits: Limits = field(default_factory=Limits)
    backoff: Backoff = PROCESS_BACKOFF
    slots: Slots | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    user_agent: str = "mirrorserver"
    ca_files: Sequence[str] = ()
