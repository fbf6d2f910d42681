"""From signals to highlights: normalising, fusing, windows, peaks, choosing. Plain arrays, no bytewax and no av."""
