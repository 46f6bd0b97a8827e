"""Drills: a backup is restored where nobody uses it, compared with what was saved, timed, and certified."""
