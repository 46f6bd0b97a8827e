"""Runbooks: loaded, planned, guarded, driven, verified."""
