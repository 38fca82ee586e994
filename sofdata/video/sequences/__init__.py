"""Sequences of pictures with times, whatever keeps them: folders, HDF5, TFRecord, bags, Zarr."""
