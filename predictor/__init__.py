"""The DenseNet121 predictor: network, graph, engines, batching, serving."""
