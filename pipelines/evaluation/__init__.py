"""Evaluation: how well a model reads radiographs that it has not seen."""
