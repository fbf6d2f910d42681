"""Footage goes in, the moments worth keeping come out as clips."""
