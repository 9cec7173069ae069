"""All benches (`make bench`), or those named; `--quick` is the small one for every day.

python -m bench [mirror shards peer serving pages filters ...] [--records N ...] [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from bench import advisories, cran, filters, goals, mirror, pages, peer, python, serving, shards

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
    "advisories": advisories.bench,
}


SIZED: dict[str, Callable[[Sequence[int]], None]] = {"mirror": _mirror, "shards": shards.bench}
"""Those that are run at several sizes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=", ".join([*SIZED, *BENCHES]))
    parser.add_argument("--records", type=int, nargs="+", default=SIZES)
    parser.add_argument(
        "--quick", action="store_true", help="100,000 records, long filters, advisories"
    )
    options = parser.parse_args()
    if options.quick:
        _mirror(QUICK)
        filters.bench()
        advisories.bench(*advisories.QUICK)
        return
    for name in options.names or [*SIZED, *BENCHES]:
        if name in SIZED:
            SIZED[name](options.records)
        else:
            BENCHES[name]()


if __name__ == "__main__":
    main()
