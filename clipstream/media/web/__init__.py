"""Media over HTTP: what an address leads to, where it may lead, and files fetched from there.

Streams without an end that come over HTTP are read by `clipstream.media.live`, with the requests and checks made here.
"""
