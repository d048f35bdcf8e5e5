"""Text that is read and edited in place."""
