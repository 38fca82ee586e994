"""The results of a study: tables, confidence intervals, their export."""
