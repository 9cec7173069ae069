"""All benches (`make bench`), or those named; `--quick` is the small one for every day.

python -m bench [mirror peer serving pages filters cran python ...] [--records N ...] [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from bench import cran, filters, goals, mirror, pages, peer, python, serving

SIZES = (300_000, 900_000)
QUICK = (100_000,)
# Three times as many records may take half as much memory again: a run streams its index.
GROWTH = 1.5


def _mirror(sizes: Sequence[int]) -> None:
    peaks = [mirror.bench(records)["0.5 % changed"].peak for records in sizes]
    if len(peaks) > 1:
        growth = peaks[-1] / peaks[0]
        print(
            f"peak memory, largest to smallest size: {growth:.2f};"
            f" {goals.at_most(growth, GROWTH)}\n"
        )


BENCHES: dict[str, Callable[[], None]] = {
    "peer": peer.bench,
    "serving": serving.bench,
    "pages": pages.bench,
    "filters": filters.bench,
    "cran": cran.bench,
    "python": python.bench,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=", ".join(["mirror", *BENCHES]))
    parser.add_argument("--records", type=int, nargs="+", default=SIZES)
    parser.add_argument("--quick", action="store_true", help="100,000 records, and long filters")
    options = parser.parse_args()
    if options.quick:
        _mirror(QUICK)
        filters.bench()
        return
    names = options.names or ["mirror", *BENCHES]
    if "mirror" in names:
        _mirror(options.records)
    for name in names:
        if name != "mirror":
            BENCHES[name]()


if __name__ == "__main__":
    main()
