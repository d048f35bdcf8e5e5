"""The outside: one module for each program or API we use."""
