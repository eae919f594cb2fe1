"""Measure the frames of a cine: from frames in turn to a track, and from the track to a summary."""
