"""Reads the text, CSV, JSON and Parquet files that describe a corpus."""
