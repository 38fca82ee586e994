"""Videos that show the same: what they look like, which are copies of which, and which one stays."""
