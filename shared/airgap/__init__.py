"""The core of kubectl-airgap and helm-relocate: no terminal, no exit, no global state."""

__version__ = "0.1.0"
