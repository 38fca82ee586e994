"""Pictures of a dataset for people to look at."""
