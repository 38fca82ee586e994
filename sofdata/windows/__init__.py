"""Skill windows: where a video is cut, what moves in each piece, and which pieces are kept."""
