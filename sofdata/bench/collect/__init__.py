"""Experts act, and what they do is recorded."""
