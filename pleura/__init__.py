"""What all services of Pleura share."""
