"""What a trained network becomes before it is served: calibrated, bounded, described."""
