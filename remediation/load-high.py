"""Load high: more work waits for the host's processors and disks than they can do.

Symptom
    Over the last 15 minutes more processes than the limit per processor were running or waiting for a disk.

Diagnosis
    1. Processors or disks? `us` and `sy` mean work, `wa` means waiting for a disk, `st` means that a neighbour takes our time.
           vmstat 1 5
    2. Who works?
           ps -eo pid,pcpu,state,etime,comm --sort=-pcpu | head -n 15; docker stats --no-stream
    3. Who waits? State D is a disk: ps -eo pid,state,wchan,comm | awk '$2 == "D"'
    4. A job that runs at this hour (backup, VACUUM, logrotate), or traffic? `runbook status`, the access log.

Correction, mildest first
    1. A job that can wait: renice -n 19 -p <pid>; ionice -c3 -p <pid>; and move its hour.
    2. A query that works for ever: database-slow.
    3. A process that runs wild: restart its one service.
    4. Traffic: more workers only when memory is left (memory-high).

Last resort
    A larger machine, or a second one.

Verify
    pytest checks/host/capacity.py
"""
