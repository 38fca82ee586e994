"""Settings as typed sections, recipes and overrides."""
