"""All benches: `python -m bench [--records N ...]` (`make bench`)."""

from __future__ import annotations

import argparse

from bench import mirror, peer, serving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[100_000])
    parser.add_argument("--peer", action="store_true", help="conda-mirror beside ours")
    parser.add_argument("--serving", action="store_true", help="nginx beside the embedded server")
    options = parser.parse_args()
    for records in options.records:
        mirror.bench(records)
    if options.peer:
        peer.bench()
    if options.serving:
        serving.bench()


if __name__ == "__main__":
    main()
