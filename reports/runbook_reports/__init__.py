"""Reports: a run record in, text or files out."""
