"""Backups put back: into scratch servers of our own that nobody uses, or into production."""
