"""Filters as administrators save them, and the rules that judge records by them."""
