"""The skill VAE: a window of flow to a few codes and back."""
