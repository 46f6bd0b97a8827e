"""Prediction service unresponsive: recordings are uploaded and nobody classifies them.

Symptom
    `/health` of the prediction service does not answer; models are not loaded; or a recording that is sent to it does not
    come back with a prediction.

Diagnosis
    1. Does it answer, are its models loaded, which share of predictions fails?
           curl -s http://localhost:8002/health; curl -s http://localhost:8002/models/status
    2. Does the process run, was it ended for its memory?
           export COMPOSE_FILE=docker-compose.production.yml
           docker compose ps prediction-api; docker inspect --format '{{.State.OOMKilled}}' nightscan_ml
           docker compose logs --tail 200 prediction-api
    3. The GPU, if there is one: is it seen, is its memory taken?
           nvidia-smi
    4. The models: there, whole, readable? Go to ml-models-invalid.

Correction, mildest first
    1. A model file is missing or broken: ml-models-invalid; restarting does not help.
    2. The GPU's memory is taken by a process that should not be there: gpu-memory.
    3. Restart the one service through its manager, and poll its health and `/models/status`:
           docker compose restart prediction-api
       Never end processes by a word of their command line: that hits whatever else has it.
    4. Create its container anew, without touching the others:
           docker compose up -d --no-deps --force-recreate prediction-api

Last resort
    Run on the CPU (`ml.use_gpu` false) or with the previous image, slower but answering. Uploads wait in the queue meanwhile.

Verify
    pytest checks/ml/availability.py checks/ml/models.py
"""
