"""From a corpus to a dataset: plan, units, engines."""
