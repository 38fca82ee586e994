"""Corpora whose pictures are in no video file; see `sofdata.video.sequences` for their reading."""
