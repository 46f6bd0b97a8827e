"""Drill failed: what lies off-site cannot be restored whole, or not in time. A disaster now would lose data.

Symptom
    `pytest -m drill` or `runbook drill` fails: what was restored is not what was saved, or it took or costs too much.

Diagnosis
    1. The certificate, var/drills/…/certificate.html, says which part is not as it was, with its reason, and how long each
       phase took.
    2. Is it this backup, or all of them? `runbook backup --list` shows them, `runbook drill ID --from s3` tries an older one.
    3. `runbook backup --verify newest` reads the newest back. What verifies and does not restore is the drill's own finding:
       rows that differ, indexes, roles, an extension that is not installed here.

Correction, mildest first
    1. Make a backup and drill again: `runbook backup --full`, `runbook drill`.
    2. Time: the phases say where it goes. More jobs (drill.jobs), a nearer copy, less data; else drill.rto is a wish.
    3. Loss: the newest row off-site is too old: backups are too rare, do not run, or their copies break off.

Last resort
    No backup restores: stop what changes data (deployments, migrations, deletions), copy the data folders to another machine
    by hand, and tell the person who answers for the data.

Verify
    pytest -m drill
"""
