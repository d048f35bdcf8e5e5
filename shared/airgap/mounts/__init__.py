"""What is mounted where."""
