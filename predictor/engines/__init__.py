"""Engines that run the serving graph: LiteRT, OpenVINO and TensorFlow."""
