"""Everything that touches PyAV: probing, decoding into slices, live streams, recordings, media on the web, cutting."""
