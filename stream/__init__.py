"""Leeway: the stream processor. Reading order: events, panes, pipeline, topology."""
