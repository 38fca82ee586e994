"""Reading a dataset: which windows, in which order, as batches."""
