"""What the proxy answers, one module for each route."""
