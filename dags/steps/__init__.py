"""What one task does: read, compute, check, write. Plain functions that Airflow, the command line and tests call alike."""
