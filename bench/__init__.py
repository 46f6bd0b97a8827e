"""What the engine costs and gains, as ratios of commands measured side by side in one run: `python -m bench [NAME …]`."""
