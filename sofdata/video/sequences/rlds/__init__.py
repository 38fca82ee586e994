"""Episodes of TensorFlow Datasets, as Open X-Embodiment, Bridge and DROID have them (RLDS)."""
