"""The action decoder: image and skill to actions."""
