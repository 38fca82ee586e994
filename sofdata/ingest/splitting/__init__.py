"""Long videos in parts, on several workers of a node, to the bytes of the whole video."""
