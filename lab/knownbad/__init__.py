"""Backups that are broken on purpose, each in its own way: every one has to be caught, with the right reason."""
