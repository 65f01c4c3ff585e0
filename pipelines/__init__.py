"""Steps of training, evaluation, registration and promotion."""
