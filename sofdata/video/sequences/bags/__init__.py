"""Recordings of ROS: how messages lie in the files of a bag, whatever they say."""
