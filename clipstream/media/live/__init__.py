"""Streams that do not end: their addresses, connections, time and slices. Only this room reads them."""
