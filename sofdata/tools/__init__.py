"""Generates the schemas and the API page of the project."""
