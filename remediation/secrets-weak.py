r"""Secrets weak: a secret is a placeholder, a well-known default, too short, or used twice.

Symptom
    The check names the variables and keys; it never shows their values.

Diagnosis
    1. Where does the value come from? `runbook config` names the file or variable and shows no secret.
    2. Was the system ever reachable with it? Then treat it as known to others.

Correction, mildest first
    1. Make a new one:
           openssl rand -hex 32
    2. Put it where the old one stands (.env, production.json or the secret store), file mode 0600, and restart what reads it,
       one service at a time. Changing SECRET_KEY or JWT_SECRET_KEY logs every user out: say so before.
    3. Passwords: change them in the server first (ALTER ROLE … PASSWORD by \password in psql; CONFIG SET requirepass and
       CONFIG REWRITE in Redis), then in the configuration.

Last resort
    A secret that others know is an incident: take the service off the network, rotate every secret of the file, read the logs
    since the day it was first used, with evidence collected before anything is restarted.

Verify
    pytest checks/configuration/security.py
"""
