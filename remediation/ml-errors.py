"""Predictions fail: the service answers, and too many recordings come back with an error.

Symptom
    More than the allowed share of predictions failed since the service started.

Diagnosis
    1. Which error? The log says it for each prediction:
           docker compose logs --tail 500 prediction-api | grep -i error
    2. One kind of file only (format, size, length)? Then a client sends something new.
    3. All kinds: are the models whole (ml-models-invalid), is there memory, is the disk full?

Correction, mildest first
    1. A client that sends what cannot be read: talk to its owner; such files should be refused with 4xx and not be counted.
    2. A model is broken: ml-models-invalid.
    3. Restart the one service: docker compose restart prediction-api

Last resort
    Go back to the previous image and models.

Verify
    pytest checks/ml/errors.py
"""
