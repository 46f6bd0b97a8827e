"""The stand-in for NightScan's prediction service: a small but real classifier of recordings, behind the real interface."""
