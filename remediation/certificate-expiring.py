"""Certificate: it expires soon, has expired, or is not accepted by browsers.

Symptom
    Fewer days are left than the limit; or a client refuses the handshake: expired, another name, an authority it does not know;
    or the proxy serves another certificate than the one that lies in the file.

Diagnosis
    1. What is served, and what lies in the file?
           openssl s_client -connect $DOMAIN_NAME:443 -servername $DOMAIN_NAME </dev/null 2>/dev/null |
               openssl x509 -noout -subject -issuer -dates -ext subjectAltName
           openssl x509 -in /etc/ssl/certs/nightscan.pem -noout -subject -dates
       The file is newer: it was renewed, and the proxy was not told.
    2. Why was it not renewed? systemctl status certbot.timer; journalctl -u certbot --since -30d
    3. "unable to get local issuer certificate": the chain is not in the file.

Correction, mildest first
    1. The file is right: have the proxy load it, without dropping connections:
           docker compose exec nginx-proxy nginx -t && docker compose exec nginx-proxy nginx -s reload
    2. Renew it, first as a trial:
           certbot renew --dry-run && certbot renew --deploy-hook 'docker compose exec -T nginx-proxy nginx -s reload'
    3. Names or chain are wrong: request it again for all names, with the full chain; keep the key readable by root only.

Last resort
    A certificate from another authority by hand. Never tell users to click the warning away.

Verify
    pytest checks/proxy/certificate.py checks/proxy/availability.py
"""
