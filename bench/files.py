"""A plain upstream on a free port: serves a folder, with or without conditional answers.

    python -m bench.files FOLDER [--no-validators]

Prints its address and serves until it is killed.
"""

from __future__ import annotations

import argparse
import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    """Python's own file server, which answers If-Modified-Since."""

    validators = True
    # With HTTP/1.0, the default, every request would cost a new connection.
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the bench prints the only lines."""

    def send_header(self, keyword: str, value: str) -> None:
        if keyword != "Last-Modified" or self.validators:
            super().send_header(keyword, value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--no-validators", action="store_true")
    options = parser.parse_args()
    Handler.validators = not options.no_validators
    handler = functools.partial(Handler, directory=options.folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
