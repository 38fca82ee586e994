"""Datasets as TensorFlow Datasets (TFDS) stores them: Open X-Embodiment, Bridge, DROID (RLDS)."""
