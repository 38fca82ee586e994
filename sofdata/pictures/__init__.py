"""Pictures made of data: flow as colours, contact sheets."""
