"""Secrets exposed: a file with secrets can be read or changed by users that have no business with it.

Symptom
    The check names the file and its mode: others may read or write it, or the group may write it.

Diagnosis
    1. Who may read it, and who are these users?
           stat -c '%a %U:%G %n' .env "$NIGHTSCAN_CONFIG_FILE"; getent group nightscan
    2. How did it become so? A copy with the default umask, a restore without permissions, an editor.
    3. Was it copied elsewhere (a backup, an image, a repository)?

Correction, mildest first
    1. Close it; owner and group as the service needs them:
           chmod 600 .env; chmod 640 "$NIGHTSCAN_CONFIG_FILE"
    2. Repair what made it so (umask 077 in the deployment).
    3. Somebody else could have read it: rotate what is in it (secrets-weak).

Last resort
    It stood open on a machine with strangers, or in a repository: this is an incident; rotate everything in it today.

Verify
    pytest checks/configuration/security.py
"""
