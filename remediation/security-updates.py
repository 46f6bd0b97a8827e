"""Security updates: fixes of the operating system wait to be installed.

Symptom
    The weekly check (G30) lists packages with security updates.

Diagnosis
    1. Which ones, and do they touch what is reachable from outside?
           apt-get update -q && apt list --upgradable 2>/dev/null | grep -i security
    2. Is unattended-upgrades on, and what did it say? /var/log/unattended-upgrades

Correction, mildest first
    1. Install them on staging, run the checks there.
    2. Install them here, in a maintenance window, with a backup that verified:
           apt-get upgrade
    3. Which services still run old libraries? `needrestart -r l`; restart those, one by one.
    4. A new kernel: reboot in the window.

Last resort
    A hole that is being used and has no fix: take the service that has it off the network.

Verify
    pytest checks/host/security.py
"""
