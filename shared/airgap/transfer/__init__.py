"""How content moves."""
