"""Queue too long: work comes in faster than it is done.

Symptom
    More than the allowed number of predictions or tasks wait in Redis.

Diagnosis
    1. How many, and does it grow? Ask twice, a minute apart:
           redis-cli zcard prediction:queue; redis-cli llen celery
    2. Do the workers run, and do they finish anything?
           docker compose ps; docker compose logs --tail 100 worker
    3. Is what they need ill (prediction service, database)? Then the queue is the effect.
    4. Did somebody upload a large batch? Then it goes down by itself: how long will it take?

Correction, mildest first
    1. What the workers need is ill: its runbook first.
    2. The workers stand still: docker compose restart worker
    3. More workers for the time of the wave:
           docker compose up -d --no-deps --scale worker=4 worker
    4. One task fails and comes back for ever: take that one out of the queue, keep it, and open a ticket.

Last resort
    Refuse new uploads with an honest message until the queue is short. Do not delete the queue: it is users' work.

Verify
    pytest checks/ml/queues.py
"""
