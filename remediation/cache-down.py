"""Cache down: Redis refuses, does not answer, or does not accept writes.

Symptom
    Connections are refused or time out, or a value that was just written does not come back. Sessions and queues are in it:
    users are logged out, predictions wait. P1: within 15 minutes.

Diagnosis (redis-cli takes the password from REDISCLI_AUTH; as an argument it stands in the process list)
    1. Does it run, and what did it say last?
           docker compose ps redis; docker compose logs --tail 100 redis
    2. Does it answer?
           redis-cli ping
       "LOADING": it reads its data, wait. "NOAUTH" or "WRONGPASS": the password in the configuration changed. "MISCONF": it
       cannot save to the disk: disk-full. "OOM": cache-memory. "READONLY": clients were sent to a replica.
    3. Is it busy with one slow command?
           redis-cli slowlog get 10

Correction, mildest first
    1. LOADING: wait, and poll ping.
    2. The disk is full: disk-full. Do not switch off stop-writes-on-bgsave-error to get rid of the message.
    3. Restart the one service; append-only file and dump bring the data back:
           docker compose restart redis
    4. The append-only file is cut off: copy it, then redis-check-aof --fix on the copy, and put it in place.

Last resort
    Start with the newest verified dump (stop Redis, put the file in place with append-only off, start, compare key counts,
    switch append-only on again). `redis-cli --rdb FILE` is no restore: it writes FILE from the running server.

Verify
    pytest checks/cache/availability.py
"""
