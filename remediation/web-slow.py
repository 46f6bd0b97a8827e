"""Web slow: pages take longer than users accept.

Symptom
    The 95th percentile of response times is above its limit, in a sample taken now or in the service's own histogram.

Diagnosis
    1. Is the database slow too? Then this is its effect: go to database-slow.
    2. Is the host short of something? (steps busy, memory)
           uptime; free -m; vmstat 1 5
    3. Which endpoint is slow? Compare sum and count of the histogram, endpoint by endpoint:
           curl -s http://localhost:8000/metrics | grep request_duration_seconds_sum
       (each worker process answers with its own counters: ask several times)
    4. Are all workers busy? Requests that wait for a worker are slow and do nothing (step log):
           docker compose top web
    5. Did it begin with a deployment? Compare with the last report.

Correction, mildest first
    1. Workers hang, or memory grew for days: restart the one service, and open a ticket about the leak (step restart):
           docker compose restart web
    2. A person: a client that asks too much: limit it at the proxy (`limit_req`), do not slow everybody down.
    3. A person: all workers busy and memory left: more workers, in the configuration, then
           docker compose up -d --no-deps web
    4. A person: it began with a deployment: runbook rollback --to previous

Last resort
    A person: switch the expensive feature off, or put up the maintenance page at the proxy, until the cause is found.

Verify
    pytest checks/web/performance.py
"""

from pytest_runbook import command, correct, diagnose, manage


@diagnose
def busy(at):
    """Look at what works on the machine"""
    return command("ps", "-eo", "pid,pcpu,rss,etime,comm", "--sort=-pcpu", on="host")


@diagnose
def memory(at):
    """Look whether memory is short"""
    return command("free", "-m", on="host")


@diagnose
def log(at):
    """Look at what the web service said last"""
    return manage("logs", "web")


@correct(risk="restart", settle=5, within=60, timeout=120)
def restart(at):
    """Restart the web service"""
    return manage("restart", "web")
