"""Adapters that list the videos of a source, one module a kind of corpus."""
