"""Benchmarks: what a run costs, beside the limit of the machine it runs on."""
