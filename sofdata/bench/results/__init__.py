"""Results: tables, intervals."""
