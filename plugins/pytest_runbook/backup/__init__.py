"""Backups: made of one moment, read back before they are called good, and kept in several places.

    make(loaded, …) -> Manifest       verify(destination, id) -> Verdict

One backup is a folder ID with the same names in every destination; `manifest.json` is written last: where it is,
everything is. `docs/backup.md` has the whole layout.
"""
