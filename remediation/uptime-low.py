"""Uptime low: the service was down more than its target allows.

Symptom
    Of all observations of the last 30 days, fewer found the service up than the target asks for. It may well be up now.

Diagnosis
    1. When was it down, and how often? Each run that saw it down is kept with its evidence in var/runs.
    2. One long outage, or many short ones? Do they fall together with deployments, backups, the same hour?
    3. What was the root that those reports name? Often it is not the service itself.

Correction
    Nothing can be restarted to correct the past. Write the incident report of each outage, and decide what would have kept it
    from happening or would have shortened it. When the outage was planned, declare the next one as a maintenance window in the
    settings: planned time does not count.

Last resort
    When the cause is known and cannot be removed soon, say so with a waiver that has an owner and an expiry, so that the
    figure does not hide other failures.

Verify
    The figure recovers by itself as good observations are added: pytest checks/web/uptime.py checks/ml/uptime.py
"""
