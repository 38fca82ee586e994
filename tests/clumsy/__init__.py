"""Clumsy, hostile and concurrent use: one test a case, named by the right behaviour."""
