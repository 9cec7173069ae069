"""All benches: `python -m bench [--records N ...]` (`make bench`)."""

from __future__ import annotations

import argparse

from bench import mirror


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[100_000])
    options = parser.parse_args()
    for records in options.records:
        mirror.bench(records)


if __name__ == "__main__":
    main()
