"""Proxy unavailable: nobody reaches the system from outside, whatever runs behind.

Symptom
    The TLS port refuses or does not answer, or the proxy answers 502, 503 or 504.

Diagnosis
    1. Does it run, what did it say? (steps status, log)
           docker compose ps -a nginx-proxy; docker compose logs --tail 100 nginx-proxy
    2. Is its configuration valid? (step configuration)
           docker exec nightscan-nginx nginx -t
    3. 502 or 504: the service behind is down or slow. Ask it without the proxy:
           curl -s http://localhost:8000/health
    4. Is the address right? DNS, firewall, something else on the port: ss -ltnp 'sport = :443'

Correction, mildest first
    1. The service behind is ill: web-unavailable or ml-unresponsive. Nothing is done here then.
    2. It runs, and its container's address of web is old (web was created anew): test, then load the configuration again,
       without dropping connections (step reload):
           docker exec nightscan-nginx nginx -t && docker exec nightscan-nginx nginx -s reload
    3. It does not answer: restart the one service. Not while it runs with a configuration that is broken: it would not come
       back (step restart):
           docker compose restart nginx-proxy
    4. A person: the configuration is broken: take its last change back, then step 2.

Last resort
    A person: publish web's own port to the load balancer for a while, if TLS ends there; never open plain HTTP to users.

Verify
    pytest checks/proxy/availability.py
"""

from pytest_runbook import RunbookError, call, command, correct, diagnose, manage

BEHIND = "proxy/availability::leads_to_the_web_service"


@diagnose
def status(at):
    """Look whether it runs, and since when"""
    return manage("status", "proxy")


@diagnose
def log(at):
    """Look at what it said last"""
    return manage("logs", "proxy")


@diagnose
def configuration(at):
    """Look whether its configuration is valid"""
    return _named(at.facts.proxy.test, "test")


@correct(risk="routine", only_if=lambda at: call(runs_without_web), settle=1, within=15)
def reload(at):
    """Have it load its configuration again, with the addresses of today"""
    return [_named(at.facts.proxy.test, "test"), _named(at.facts.proxy.reload, "reload")]


@correct(
    risk="restart", only_if=lambda at: call(would_come_back, test=at.facts.proxy.test), settle=2, within=60, timeout=120
)
def restart(at):
    """Restart the proxy"""
    return manage("restart", "proxy")


def runs_without_web(tools):
    """Whether it answers, and does not lead to the web service."""
    return BEHIND in tools.situation.checks


def would_come_back(tools, *, test):
    """Whether it does not run anyway, or its configuration is valid."""
    manager, unit = tools.manager("proxy")
    if manager.status(unit).state != "running":
        return True
    try:
        tools.run(*test, on="host")
    except RunbookError as error:
        print(error)
        return False
    return True


def nobody_says_how(tools, *, fact):
    """Refuse: the settings name no command for it."""
    raise RunbookError(f"no command is known for it\n  hint: {fact}, a list of words")


def _named(words, fact):
    return command(*words, on="host") if words else call(nobody_says_how, fact=f"facts.proxy.{fact}")
