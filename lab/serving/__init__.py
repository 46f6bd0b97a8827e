"""What the stand-in services share: their environment, faults on purpose, the JSON log, gunicorn."""
