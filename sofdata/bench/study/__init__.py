"""The study: arms, cells, how they are trained and evaluated."""
