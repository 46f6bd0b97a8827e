"""Web insecure: browsers are not told to protect users, or users are shown what is internal.

Symptom
    A security header is missing or weak; a cookie lacks Secure, HttpOnly or SameSite; plain HTTP is answered instead of being
    redirected; an error page shows a traceback; or far more logins fail than usual.

Diagnosis
    1. What does a browser get, through the proxy and without it?
           curl -sI https://$DOMAIN_NAME/login; curl -sI http://localhost:8000/login
       Missing only at the proxy: its configuration drops it. Missing at both: the application does not send it.
    2. Which configuration runs? `session_cookie_secure`, `session_cookie_httponly` and `csrf_enabled` in production.json; is
       `NIGHTSCAN_ENV` production in the container?
           docker compose exec web env | grep -E '^(NIGHTSCAN_ENV|FLASK_DEBUG)='
    3. Failed logins: from where? One address is an attack on a password, many addresses are an attack with a list.
           grep -i 'login failed' /opt/nightscan/logs/nightscan.log | tail -n 200

Correction, mildest first
    1. Correct the key in production.json and restart the one service.
    2. Correct the proxy's configuration; test it before it is loaded, and load it without dropping connections:
           docker compose exec nginx-proxy nginx -t && docker compose exec nginx-proxy nginx -s reload
    3. Failed logins: limit or block the address at the proxy; tell the owners of accounts that were tried.

Last resort
    A page that shows internals, or a login under attack, is taken off the network at the proxy until it is repaired. When a
    login succeeded that should not have, this is a security incident: collect evidence before anything is restarted.

Verify
    pytest checks/web/exposure.py checks/proxy/security.py
"""
