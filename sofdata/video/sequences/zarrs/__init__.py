"""What reading Zarr takes: files of a store, what its metadata may say, rows, what lies where."""
