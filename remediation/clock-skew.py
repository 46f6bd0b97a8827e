"""Clock skew: the host's clock is wrong.

Symptom
    The clock differs from its time source or from the database's clock by more than the limit. Tokens are refused, logs do not
    fit together, replication and backups carry wrong times.

Diagnosis
    1. Is the clock synchronised, by whom, how far off?
           timedatectl; chronyc tracking || timedatectl timesync-status
    2. Can the time source be reached (UDP 123)? chronyc sources
    3. A virtual machine that was paused or moved? Its log says so.

Correction, mildest first
    1. Start the time service: systemctl restart chrony (or systemd-timesyncd).
    2. Correct slowly, so that time never goes back: chronyc makestep only when the offset is large, and in a quiet hour.
    3. Another time source, when the configured one is not reachable.

Last resort
    Stop what depends on time going forward (the database last), set the clock, start again.

Verify
    pytest checks/host/consistency.py
"""
