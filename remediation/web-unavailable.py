"""Web unavailable: users get no answer, or an answer that is not the application's.

Symptom
    The health endpoint refuses, times out or answers something other than 200 with `"status": "healthy"`; or `/ready` says
    503; or a page that every user meets does not open. P1: within 15 minutes.

Diagnosis
    1. Is it the service, or what it needs? `/ready` names the part that is missing:
           curl -s http://localhost:8000/health; curl -s http://localhost:8000/ready
       When it names the database or the cache, go to database-down or cache-down: restarting web does not help, and
       no step does it while that one does not answer the checks, or refuses their account, which is web's own. When it lets
       them in, it is web's own connections that broke.
    2. Does the process run, and how often was it restarted? (step status)
           docker compose ps -a web
           docker inspect --format '{{.RestartCount}} {{.State.OOMKilled}}' $(docker compose ps -aq web)
    3. What did it say last? (step log)
           docker compose logs --tail 200 web
    4. Does something else hold the port? (step port)
           ss -ltnp 'sport = :8000'

Correction, mildest first
    1. Restart the one service, then poll its health; do not sleep a fixed time (step restart):
           docker compose restart web
    2. A person: something else holds the port: stop that, not web.
    3. A person: the failure began with a deployment: go back to the version before it, which is verified then:
           runbook rollback --to previous

Last resort
    Stop it, and start it anew, without touching what it depends on (step start_anew):
        docker compose stop web; docker compose up -d --no-deps web
    A person, with approval, because every user is logged out and every running prediction is lost: `docker compose down`, then
    `docker compose up -d`. Never `down -v`: it removes the volumes, and the data in them. Never `docker system prune` on the
    way: it removes the image to go back to.

Verify
    pytest checks/web/availability.py
"""

import httpx
from pytest_runbook import RunbookError, call, command, correct, diagnose, last_resort, manage


@diagnose
def status(at):
    """Look whether it runs, and since when"""
    return manage("status", "web")


@diagnose
def log(at):
    """Look at what it said last"""
    return manage("logs", "web")


@diagnose
def port(at):
    """Look who holds its port"""
    return command("ss", "-ltnp", f"sport = :{at.facts.ports.web}", on="host")


@correct(risk="restart", only_if=lambda at: call(would_help, **_addresses(at)), settle=2, within=60, timeout=120)
def restart(at):
    """Restart the web service"""
    return manage("restart", "web")


@last_resort(risk="restart", only_if=lambda at: call(would_help, **_addresses(at)), settle=5, within=60, timeout=240)
def start_anew(at):
    """Stop it, and start it anew"""
    return [manage("stop", "web"), manage("start", "web")]


def would_help(tools, *, health, ready):
    """Whether a start can help: it lacks nothing of others, and it runs, or nothing else answers in its place."""
    for name in sorted(_missing(ready) & {*tools.settings.services["web"].depends}):
        if tools.silent(name):
            raise RunbookError(
                f'it lacks "{name}", which does not answer\n  hint: mend that, restarting web does not help'
            )
    manager, unit = tools.manager("web")
    if manager.status(unit).state in ("running", "starting"):
        return True
    try:
        httpx.get(health, timeout=5)
    except httpx.TransportError:
        return True
    raise RunbookError(
        "it does not run, and something else answers in its place\n  hint: stop that, see who holds the port"
    )


def _missing(ready):
    """Names of what it says at READY that it lacks; none when it does not say."""
    try:
        said = httpx.get(ready, timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return set()
    checks = said.get("checks") if isinstance(said, dict) else None
    return {name for name, good in checks.items() if not good} if isinstance(checks, dict) else set()


def _addresses(at):
    web = at.settings.probes["web"].url.rstrip("/")
    return {"health": web + at.facts.web.health, "ready": web + at.facts.web.ready}
