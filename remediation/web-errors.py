"""Web errors: users meet error pages, or the log fills with errors.

Symptom
    More than the allowed share of requests ends in 5xx, in a sample taken now or in the service's own counters; or the log
    has new ERROR records.

Diagnosis
    1. Which errors, since when, on which endpoint?
           tail -n 2000 /opt/nightscan/logs/nightscan.log | jq -r 'select(.level=="ERROR") | [.module, .message] | @tsv' |
               sort | uniq -c | sort -rn | head
    2. Do they name the database, the cache or the prediction service? Look at those checks first.
    3. Are all workers concerned, or one? One broken worker of four gives 25 % of errors.
    4. Did they begin with a deployment, or with a change of the configuration?

Correction, mildest first
    1. A dependency is ill: its runbook.
    2. One worker is broken, or it began by itself: restart the one service:
           docker compose restart web
    3. It began with a change of configuration: take the change back, restart.
    4. It began with a deployment: go back to the previous image tag, and restore the database only if a migration went with it.

Last resort
    Switch off the feature that fails, or put up the maintenance page at the proxy: an honest page instead of broken ones.

Verify
    pytest checks/web/errors.py
"""
