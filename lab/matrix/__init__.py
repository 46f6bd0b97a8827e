"""The fault matrix: every fault of the lab injected, seen, mended by its runbook and verified; healthy rounds stay green."""
