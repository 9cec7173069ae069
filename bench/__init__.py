"""Benchmarks: what a run costs, compared with the limit of the machine it runs on."""
