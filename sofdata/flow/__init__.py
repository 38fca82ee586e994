"""Optical flow between frames: the estimators, and the codec that stores what they find."""
