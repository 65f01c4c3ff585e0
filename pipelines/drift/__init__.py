"""Whether what is seen today is what the model was judged on."""
