"""The backend that `ENGINE` names.

The rule: to open a connection takes no lock. `auto_vacuum` does on every database that has it
already, so it is set once, when the file is made; it has no effect later anyway.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Makes a new file as this server wants it before Django opens it."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        file = Path(conn_params["database"])
        if not file.exists() or not file.stat().st_size:
            with closing(sqlite3.connect(file, timeout=conn_params["timeout"])) as connection:
                # In this order: the change to WAL writes the page that says how space is freed.
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL")
        return super().get_new_connection(conn_params)
