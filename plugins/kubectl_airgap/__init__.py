"""The kubectl plugin: `kubectl airgap`."""
