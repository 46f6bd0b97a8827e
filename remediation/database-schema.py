"""Database schema: the database is not at the release that is deployed.

Symptom
    A table that the application needs is not there, or the migration level is not the one of the release.

Diagnosis
    1. Is this the right database? Host, port and name of the URI against what the configuration says.
    2. At which level is it, and which is the newest of the code?
           SELECT version_num FROM alembic_version;
           docker compose run --rm --no-deps web flask db heads
    3. Did a migration fail half-way? Its output stands in the deployment's log.

Correction, mildest first
    1. Wrong database: correct NIGHTSCAN_DATABASE_URI; run nothing against the wrong one.
    2. Take a backup and see that it verifies; then bring the database up to the release:
           docker compose run --rm --no-deps web flask db upgrade
    3. The release is older than the database: deploy the release that fits. Go down with `flask db downgrade` only after
       reading what that migration deletes.

Last resort
    A table was dropped: restore it from the newest verified backup into a scratch database, and copy it back from there.

Verify
    pytest checks/database/consistency.py
"""
