"""What an ingest will take, from a sample of its videos: before it is started."""
