"""Ego-Exo4D: what people do, seen by their glasses and by cameras around them; see `corpus`."""
