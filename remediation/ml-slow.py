"""Predictions slow: the answer to a recording takes longer than the limit.

Symptom
    The 95th percentile of prediction times is above its limit.

Diagnosis
    1. Is the host, or the GPU, busy with something else? (step busy)
           uptime; ps -eo pid,pcpu,etime,comm --sort=-pcpu | head; nvidia-smi
    2. Is the GPU used at all? A driver that is gone makes the service fall back to the CPU: its log says so at start.
       (step log)
    3. Is the queue long? Then work piles up: queue-too-long.
    4. Did it begin with a new model or a new batch size?

Correction, mildest first
    1. Restart the one service: it finds the GPU again, and gives back memory that it leaked (step restart).
           docker compose restart prediction-api
    2. A person: stop or move what else takes the GPU or the CPU.
    3. A person: the driver is gone, and the restart did not help: reload the driver.
    4. A person: smaller batches (`ml.batch_size`), or one more worker where memory allows it.
    5. A person: a new model is the cause: go back to the previous one.

Last resort
    A person: accept fewer uploads at a time (the rate limit), so that those accepted are answered in time.

Verify
    pytest checks/ml/performance.py
"""

from pytest_runbook import command, correct, diagnose, manage


@diagnose
def busy(at):
    """Look at what works on the machine"""
    return command("ps", "-eo", "pid,pcpu,rss,etime,comm", "--sort=-pcpu", on="host")


@diagnose
def log(at):
    """Look at what the prediction service said last"""
    return manage("logs", "ml")


@correct(risk="restart", settle=2, within=90, timeout=120)
def restart(at):
    """Restart the prediction service"""
    return manage("restart", "ml")
