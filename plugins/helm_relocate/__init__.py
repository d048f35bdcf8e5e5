"""The Helm plugin: `helm relocate`."""
