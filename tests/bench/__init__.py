"""Speed, memory and quality, measured on purpose and never in a timed test: `make bench`."""
