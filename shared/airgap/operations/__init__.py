"""The flows, readable as sentences: each returns a frozen result."""
