"""How a caller names or sends the radiograph of ``POST /classify``."""
