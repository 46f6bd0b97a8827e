"""Deployment incomplete: what runs is not what was deployed.

Symptom
    The version that the service reports is not the version that was deployed, or its worker processes report different ones.

Diagnosis
    1. What was asked for, and what runs?
           grep ^VERSION= .env; docker compose ps --format '{{.Service}} {{.Image}}'
           curl -s http://localhost:8000/health
    2. The container is older than the deployment: it was not created anew (a `restart` keeps the old image).
    3. The image has the right tag and reports another version: the tag was pushed over, or the build had old files.
    4. Different versions in turn: two containers, or workers of the old one that did not end.

Correction, mildest first
    1. Create the container anew from the tag that was asked for, without touching what it depends on:
           docker compose pull web && docker compose up -d --no-deps --force-recreate web
    2. An old container is left: stop that one by its id.
    3. The image is wrong: build it anew under a new tag; never push over a tag that was deployed.

Last resort
    Go back to the version before, which is verified then: runbook rollback --to previous

Verify
    pytest checks/web/version.py checks/ml/version.py
"""
