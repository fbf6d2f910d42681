"""Reading streams that do not end: their addresses, connections (SRT among them), time and slices.

A run's side of it, which cameras are read, recorded and cut, is `clipstream.live`; this room knows of no run.
"""
