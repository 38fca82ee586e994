"""Checks a dataset against its videos, computed again by other code: see `sofdata.audit.run`."""
