"""The images at work: proxy, transformer and predictor read one radiograph, each as it is in its image."""
