"""Train a model, and measure the effect of each choice in the training."""
