"""How messages lie in MCAP files, whatever they say."""
