"""What crosses the gap: the bundle file."""
