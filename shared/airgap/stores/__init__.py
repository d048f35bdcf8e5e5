"""Where content lives."""
