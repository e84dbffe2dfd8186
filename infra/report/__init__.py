"""What a person reads after a night: a summary in the terminal and one HTML page."""
