"""Recordings of live streams on disk: written as packets come, kept for a while, and cut from.

`recorder` writes one and `recording` reads it; `archive` is what `--record` keeps for good beside it.
"""
