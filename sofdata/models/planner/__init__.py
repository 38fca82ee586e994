"""The planner: which skills come next."""
