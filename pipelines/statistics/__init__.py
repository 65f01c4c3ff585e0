"""Statistics: numpy arrays in, figures out."""
