"""Records what scripted experts do in the environments, as videos and demonstrations."""
