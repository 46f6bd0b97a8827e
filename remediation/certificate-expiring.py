"""Certificate: it expires soon, has expired, or is not accepted by browsers.

Symptom
    Fewer days are left than the limit; or a client refuses the handshake: expired, another name, an authority it does not know;
    or the proxy serves another certificate than the one that lies in the file.

Diagnosis
    1. What is served, and what lies in the file? (steps served, file)
           openssl s_client -connect $DOMAIN_NAME:443 -servername $DOMAIN_NAME </dev/null 2>/dev/null |
               openssl x509 -noout -subject -issuer -dates -ext subjectAltName
           openssl x509 -in /etc/ssl/certs/nightscan.pem -noout -subject -dates
       The file is newer: it was renewed, and the proxy was not told.
    2. Why was it not renewed? systemctl status certbot.timer; journalctl -u certbot --since -30d
    3. "unable to get local issuer certificate": the chain is not in the file.

Correction, mildest first
    1. The file is newer than what is served: test the proxy's configuration, and have it load the file, without dropping
       connections (step reload):
           docker exec nightscan-nginx nginx -t && docker exec nightscan-nginx nginx -s reload
    2. The file itself ends soon, has ended, or begins only later: renew it by the command of the settings
       (facts.proxy.renewal), whose deploy hook writes facts.paths.certificate; then load it (step renew):
           certbot renew --cert-name nightscan.com --non-interactive
           docker exec nightscan-nginx nginx -t && docker exec nightscan-nginx nginx -s reload
    3. The proxy was told and still shows the old one: restart it. Not while it runs with a configuration that is broken, as with
       a renewed certificate and no key that fits: it would not come back (step restart):
           docker exec nightscan-nginx nginx -t && docker compose restart nginx-proxy
    4. A person: names or chain are wrong: request it again for all names, with the full chain; keep the key readable by root
       only.

Last resort
    A person: a certificate from another authority by hand. Never tell users to click the warning away.

Verify
    pytest checks/proxy/certificate.py checks/proxy/availability.py
"""

import ssl
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from cryptography import x509
from pytest_runbook import RunbookError, call, command, correct, diagnose, manage


@diagnose
def served(at):
    """Look at the certificate that is served"""
    return call(dates, url=at.settings.probes["proxy"].url)


@diagnose
def file(at):
    """Look at the certificate that lies in the file"""
    return call(dates, path=at.facts.paths.certificate)


@correct(risk="routine", only_if=lambda at: call(newer_on_disk, **_places(at)), settle=1, within=15)
def reload(at):
    """Have the proxy load the certificate that lies in the file"""
    return _load(at)


@correct(
    risk="routine",
    only_if=lambda at: call(is_due, path=at.facts.paths.certificate, days=at.limits.certificate.days),
    settle=1,
    within=15,
    timeout=300,
)
def renew(at):
    """Renew the certificate, and have the proxy load it"""
    renewal = at.facts.proxy.renewal
    return [command(*renewal, on="host"), *_load(at)] if renewal else call(nobody_says_how, fact="facts.proxy.renewal")


@correct(
    risk="restart",
    only_if=lambda at: call(would_serve_it, **_places(at), test=at.facts.proxy.test),
    settle=2,
    within=30,
)
def restart(at):
    """Restart the proxy, which reads the file then"""
    return manage("restart", "proxy")


def dates(tools, *, url="", path=""):
    """For whom the certificate is, and from when to when."""
    seen = _served(url) if url else _on_disk(tools, path)
    return f"{seen.subject.rfc4514_string()}: {seen.not_valid_before_utc} to {seen.not_valid_after_utc}"


def newer_on_disk(tools, *, url, path):
    """Whether the file holds a certificate that is good now, and an older one is served, or one that is not good."""
    lies, seen = _on_disk(tools, path), _served(url)
    return _is_good(lies) and (lies.not_valid_before_utc > seen.not_valid_before_utc or not _is_good(seen))


def would_serve_it(tools, *, url, path, test):
    """Whether the file holds a newer certificate, and the proxy would come back with it; raises StepFailed when it would not."""
    if not newer_on_disk(tools, url=url, path=path):
        return False
    if not test:
        nobody_says_how(tools, fact="facts.proxy.test")
    tools.run(*test, on="host")
    return True


def _is_good(certificate):
    """Whether it has begun, and has not ended."""
    return certificate.not_valid_before_utc <= datetime.now(UTC) < certificate.not_valid_after_utc


def is_due(tools, *, path, days):
    """Whether the certificate in the file is not good yet, or for fewer days than these."""
    lies, now = _on_disk(tools, path), datetime.now(UTC)
    return now < lies.not_valid_before_utc or lies.not_valid_after_utc < now + timedelta(days=days)


def nobody_says_how(tools, *, fact):
    """Refuse: the settings name no command for it."""
    raise RunbookError(f"no command is known for it\n  hint: {fact}, a list of words")


def _load(at):
    """Test the configuration first: a proxy that cannot read it would go on with the old one."""
    told = at.facts.proxy
    if not (told.test and told.reload):
        return [call(nobody_says_how, fact="facts.proxy.test and facts.proxy.reload")]
    return [command(*told.test, on="host"), command(*told.reload, on="host")]


def _places(at):
    return {"url": at.settings.probes["proxy"].url, "path": at.facts.paths.certificate}


def _on_disk(tools, path):
    return x509.load_pem_x509_certificate(tools.run("cat", path, on="host").encode())


def _served(url):
    address = urlsplit(url)
    text = ssl.get_server_certificate((address.hostname, address.port or 443), timeout=10)
    return x509.load_pem_x509_certificate(text.encode())
