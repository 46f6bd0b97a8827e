"""Proxy unavailable: nobody reaches the system from outside, whatever runs behind.

Symptom
    The TLS port refuses or does not answer, or the proxy answers 502, 503 or 504.

Diagnosis
    1. Does it run, is its configuration valid, what did it say?
           docker compose ps nginx-proxy; docker compose exec nginx-proxy nginx -t
           docker compose logs --tail 100 nginx-proxy
    2. 502 or 504: the service behind is down or slow. Ask it without the proxy:
           curl -s http://localhost:8000/health
    3. Is the address right? DNS, firewall, something else on the port: ss -ltnp 'sport = :443'

Correction, mildest first
    1. The service behind is ill: web-unavailable or ml-unresponsive.
    2. The configuration is broken: take its last change back, test, load without dropping connections:
           docker compose exec nginx-proxy nginx -t && docker compose exec nginx-proxy nginx -s reload
    3. Restart the one service: docker compose restart nginx-proxy
    4. Its container's address of web is old (web was created anew): the reload of step 2.

Last resort
    Publish web's own port to the load balancer for a while, if TLS ends there; never open plain HTTP to users.

Verify
    pytest checks/proxy/availability.py
"""
