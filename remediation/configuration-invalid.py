"""Configuration invalid: what is deployed is not described completely, or cannot be read.

Symptom
    A required variable is missing; production.json, .env or the compose file does not parse; the environment is not named; or
    production runs with debug on or protection off; or the application's pools may open more connections than the database has.

Diagnosis
    1. What does each value come from?
           runbook config
    2. Where is the file broken? The check names the line; so do
           python3 -m json.tool "$NIGHTSCAN_CONFIG_FILE" > /dev/null
           docker compose config --quiet
    3. What changed last? The history of the configuration's repository, or the copy in the newest backup.

Correction, mildest first
    1. Correct the one key that the check names, in the file that `runbook config` names.
       Of pools: (pool_size + max_overflow) of production.json times worker processes must leave the other clients some of
       max_connections less the reserved ones.
    2. Take the last change back.
    3. Restart only the services that read the key, and poll their health.

Last resort
    Restore the configuration from the newest verified backup. A gate that stops a deployment is doing its work: do not switch
    it off to get through.

Verify
    pytest checks/configuration
"""
