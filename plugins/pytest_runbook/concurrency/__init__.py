"""Checks wait, they do not compute: this package runs them together on one event loop."""
