"""What is written beside the clips: the manifest, the tables and the page."""
