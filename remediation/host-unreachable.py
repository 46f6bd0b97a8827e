"""Host unreachable: no command can be run on the machine that the system runs on.

Symptom
    The checks cannot log in to the machine, or a command as simple as `echo` does not come back.

Diagnosis
    1. Do the services still answer? `curl -sS https://<domain>/health` from elsewhere: then it is only the way in.
    2. Does the way in answer? `ssh -v <user>@<host> true`, with the address that `runbook config` shows for probes.host.uri.
    3. "Permission denied": the key of the checks was rotated or removed. "Host key verification failed": ask why the machine
       has another key before accepting it.
    4. Accepts and hangs: no memory (nothing can be started), or a disk that does not answer. The provider's console shows it.

Correction, mildest first
    1. Put the key back, for a user that may look and not change.
    2. Free memory or the disk from the console: memory-high, disk-full.
    3. Restart the ssh service from the console.

Last resort
    Restart the machine from the provider's console, when the services do not answer either.

Verify
    pytest checks/host/availability.py
"""
