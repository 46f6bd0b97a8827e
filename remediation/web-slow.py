"""Web slow: pages take longer than users accept.

Symptom
    The 95th percentile of response times is above its limit, in a sample taken now or in the service's own histogram.

Diagnosis
    1. Is the database slow too? Then this is its effect: go to database-slow.
    2. Is the host short of something?
           uptime; free -m; vmstat 1 5
    3. Which endpoint is slow? Compare sum and count of the histogram, endpoint by endpoint:
           curl -s http://localhost:8000/metrics | grep request_duration_seconds_sum
       (each worker process answers with its own counters: ask several times)
    4. Are all workers busy? Requests that wait for a worker are slow and do nothing:
           docker compose top web
    5. Did it begin with a deployment? Compare with the last report.

Correction, mildest first
    1. A client that asks too much: limit it at the proxy (`limit_req`), do not slow everybody down.
    2. All workers busy and memory left: more workers, in the configuration, then
           docker compose up -d --no-deps web
    3. Memory grew for days: restart the one service, and open a ticket about the leak:
           docker compose restart web
    4. It began with a deployment: go back to the previous image tag.

Last resort
    Switch the expensive feature off, or put up the maintenance page at the proxy, until the cause is found.

Verify
    pytest checks/web/performance.py
"""
