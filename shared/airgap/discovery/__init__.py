"""Who needs which image."""
