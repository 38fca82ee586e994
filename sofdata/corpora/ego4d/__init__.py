"""Ego4D: its videos, narrations and redacted intervals."""
