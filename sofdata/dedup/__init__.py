"""Videos that show the same: what they look like, which are copies, and which one is kept."""
