"""From a video file to a stream of sampled frames."""
