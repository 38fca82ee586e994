"""Simulators behind one small interface; see `base`."""
