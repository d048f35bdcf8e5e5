"""What `helm relocate` does: a chart, or what helm has rendered."""
