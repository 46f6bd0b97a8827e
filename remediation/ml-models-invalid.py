"""Models invalid: the models are not the ones that were released, or are not as accurate as they were.

Symptom
    A model file is missing or differs from the checksum of its metadata; its classes are not those of the configuration; the
    service has loaded another version than lies in the folder; or accuracy on the labelled recordings is below the limit.

Diagnosis
    1. Files against their metadata:
           cd /opt/nightscan/models && jq . metadata.json && sha256sum *
    2. Which version has the service loaded?
           curl -s http://localhost:8002/models/status
    3. Only accuracy is low, and files and versions agree: did the recordings change, or how they are prepared? Which classes
       are confused? The report of the check counts them.

Correction, mildest first
    1. The service has an old version loaded: docker compose restart prediction-api
    2. A file is missing or broken: copy it again from the release, or from the newest verified backup; compare the checksum
       before it is put in place; restart the service.
    3. The new model is worse: put the previous one back, with its metadata; restart the service.

Last resort
    Switch predictions of that kind off and say so to users: no answer is better than a wrong one.

Verify
    pytest checks/ml/models.py checks/ml/availability.py
"""
