"""Memory high: the host is about to run out, and the kernel will choose what to end.

Symptom
    Used memory is above its limit.

Diagnosis
    1. Who uses it?
           free -m; ps -eo pid,rss,etime,comm --sort=-rss | head -n 15; docker stats --no-stream
    2. Did the kernel end something already?
           journalctl -k --since -1d | grep -i 'out of memory'
    3. Does it grow steadily (a leak), or did it jump (a large job, more workers)?

Correction, mildest first
    1. A job that can wait: stop it, run it at night.
    2. A service that leaks: restart that one, and open a ticket:
           docker compose restart <service>
    3. Fewer workers or smaller batches (ml.batch_size) in the configuration.
    4. Memory limits in the compose file, so that one service cannot take it all.

Last resort
    More memory, or move a service to another host.

Verify
    pytest checks/host/capacity.py
"""
