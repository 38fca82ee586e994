"""Datasets in the formats of others: LeRobot's, and folders that Hugging Face `datasets` reads."""
