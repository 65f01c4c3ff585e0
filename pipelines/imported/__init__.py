"""Published weights as a model source: read without PyTorch and without running anything that they hold."""
