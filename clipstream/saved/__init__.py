"""What `--save` keeps: journals while a stream is read, the tables they become, and searching these."""
