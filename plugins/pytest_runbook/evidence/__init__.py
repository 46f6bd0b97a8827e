"""Evidence: what probes saw, kept per check, redacted, and written to the journal."""
