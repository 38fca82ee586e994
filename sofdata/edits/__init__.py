"""Datasets made of datasets: a part of one, several as one, other windows of the same flow."""
