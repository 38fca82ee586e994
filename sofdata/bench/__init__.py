"""Does the data make a better robot? Environments, arms, cells, statistics."""
