"""A dataset compared with its videos once more: see `sofdata.audit.run`."""
