"""Predictions slow: the answer to a recording takes longer than the limit.

Symptom
    The 95th percentile of prediction times is above its limit.

Diagnosis
    1. Is the host, or the GPU, busy with something else?
           uptime; nvidia-smi
    2. Is the GPU used at all? A driver that is gone makes the service fall back to the CPU: its log says so at start.
    3. Is the queue long? Then work piles up: queue-too-long.
    4. Did it begin with a new model or a new batch size?

Correction, mildest first
    1. Stop or move what takes the GPU or the CPU.
    2. The driver is gone: restart the one service; when that does not help, the driver.
           docker compose restart prediction-api
    3. Smaller batches (`ml.batch_size`), or one more worker where memory allows it.
    4. A new model is the cause: go back to the previous one.

Last resort
    Accept fewer uploads at a time (the rate limit), so that those accepted are answered in time.

Verify
    pytest checks/ml/performance.py
"""
