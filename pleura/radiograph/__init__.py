"""From the bytes of a file to the tensor that the network reads, shared by serving and training."""
