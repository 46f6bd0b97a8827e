"""Cache slow: Redis takes long for the smallest thing, and every page and prediction waits for it.

Symptom
    Writing, reading and deleting one small value takes longer than the limit.

Diagnosis
    1. Is it the server or the way to it? On the server's own machine:
           redis-cli --latency -i 1; redis-cli --intrinsic-latency 5
    2. One slow command holds all others up:
           redis-cli slowlog get 10; redis-cli info commandstats | sort -t= -k4 -nr | head
    3. Is it saving, or out of memory and swapping?
           redis-cli info persistence | grep in_progress; redis-cli info memory | grep -E 'used_memory_rss_human|fragmentation'
    4. Does somebody use KEYS, or read a value of megabytes? redis-cli --bigkeys

Correction, mildest first
    1. End the client that sends the slow command: redis-cli client list; redis-cli client kill id <id>.
    2. Memory is short: cache-memory.
    3. The machine is busy with something else: load-high.
    4. The network: measure from another machine before touching anything.

Last resort
    Fail over to the replica, or restart Redis after one save has succeeded (cache-persistence).

Verify
    pytest checks/cache/performance.py
"""
