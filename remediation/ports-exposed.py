"""Ports exposed: database or cache can be reached from other machines.

Symptom
    PostgreSQL or Redis listens on an address that is not the machine's own loopback. Redis above all is found within hours and
    taken over within minutes, with a password too.

Diagnosis
    1. Who listens where? `docker-proxy` means that compose publishes the port.
           ss -ltnp | grep -E ':(5432|6379) '
    2. Since when, and by which change? git log -p docker-compose.production.yml
    3. Did strangers come? Addresses that are not ours:
           psql -c "SELECT client_addr, count(*) FROM pg_stat_activity GROUP BY 1"; redis-cli client list
       If so, this is a security incident: collect evidence before anything is changed.

Correction, mildest first
    1. Publish on loopback only, or not at all; services of one compose project reach each other by name without it:
           ports: ["127.0.0.1:6379:6379"]        then: docker compose up -d redis
    2. Without compose: listen_addresses = 'localhost' in postgresql.conf, `bind 127.0.0.1` in redis.conf; restart the one.
    3. Close the port in the firewall of the provider as well: Docker's own rules pass by those of ufw.

Last resort
    It was open for longer than minutes: rotate the passwords of both (secrets-weak tells how), and read the logs of the time.

Verify
    pytest checks/host/security.py
"""
