"""The stand-in for NightScan's web application, so that the lab has something real to look at and to break."""

APPLICATION = "nightscan-web"
"""Its name in the sessions of the database and the cache."""
