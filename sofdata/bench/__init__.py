"""The benchmark of policies: environments, demonstrations, the study, its results."""
