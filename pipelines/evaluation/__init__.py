"""What a model is worth on radiographs that it has not seen."""
