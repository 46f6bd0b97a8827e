"""Half done: a deployment or a restore was killed in the middle, or is held until a person decides.

Symptom
    Services run different versions, or stand still; data are half exchanged, or exchanged and not accepted. Other checks that
    fail beside this one may fail because of it. Start or stop nothing by hand before it is at its end: a service that is started
    in the middle of an exchange writes into data that are about to be renamed.

Diagnosis
    1. Where does it stand, and who began it?
           runbook deploy --status
           runbook restore --status
    2. Does somebody work on it on another machine, or in another container? Ask who began it.

Correction, mildest first
    1. A deployment: `runbook deploy --resume` goes on, `runbook deploy --abort` ends it on the version before.
    2. A restore: `runbook restore --finish` goes on, or accepts one that is held; `runbook restore --undo` takes it back.
    3. Both: the restore first. No deployment goes on while a restore is open.

Last resort
    The journal of a restore that cannot be read says in its message what to do by hand.

Verify
    pytest checks/configuration/changes.py
"""
