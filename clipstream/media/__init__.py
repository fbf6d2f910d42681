"""Everything that touches PyAV: probing, decoding into slices, cutting."""
