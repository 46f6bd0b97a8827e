"""The stand-in for NightScan's web application, so that the lab has something real to look at and to break."""
