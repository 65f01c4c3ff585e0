"""Import published weights as a model source, without PyTorch and without running code of the file."""
