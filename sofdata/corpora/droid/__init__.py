"""DROID as it was recorded: a robot arm in many labs, with three stereo cameras; see `corpus`."""
