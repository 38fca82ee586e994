"""LeRobot datasets, v2 and v3."""
