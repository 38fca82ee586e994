"""AgiBot World: two-armed robots at work, seen by up to eight cameras; see `corpus`."""
