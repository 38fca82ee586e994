"""Text, CSV, JSON and Parquet that corpora are described by."""
