"""Pointing charts and manifests at the registry inside."""
