"""Storage down: the bucket of the backups cannot be reached, or refuses us.

Symptom
    The S3 endpoint does not answer, the bucket is not there, or reading from it is denied.

Diagnosis
    1. Endpoint, bucket and key as the configuration has them?
           aws s3api head-bucket --bucket nightscan-backups
       404: another name or region. 403: the key has expired or its rights were changed.
    2. Is the clock right? Requests with a wrong time are refused: clock-skew.
    3. Name resolution and way out of this host: curl -sSI https://s3.<region>.amazonaws.com

Correction, mildest first
    1. The provider has an outage: wait; backups stay in the local folder and are sent later. See that its disk has room.
    2. The key: make a new one with the same rights, put it in place, retire the old one.
    3. Our own S3 server: restart that one service.

Last resort
    A bucket at another provider, and a full backup into it today.

Verify
    pytest checks/storage/availability.py
"""
