"""What can be wrong with the web service."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta

from lab import past
from lab.faults import fault
from lab.faults.standby import pause_replay
from lab.lab import Lab
from lab.servers.standins import WEB_WORKERS
from lab.site import HOST
from lab.waiting import NotReady, until

TRACEBACK = """<pre>Traceback (most recent call last):
  File "/opt/nightscan/web/app.py", line 211, in route
KeyError: 'page'</pre>"""
READING = """
import http.client, sys, time
while True:
    time.sleep(0.1)
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
    connection.request("GET", "/api/v1/predictions")
    connection.getresponse().read()
    connection.close()
"""
GUESSING = """
import http.client, sys, time
while True:
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=5)
    connection.request("POST", "/login", "username=admin&password=123456", {"Content-Type": "application/x-www-form-urlencoded"})
    connection.getresponse().read()
    connection.close()
    time.sleep(0.05)
"""

KILLING = """
import socket, sys, time
from lab import Lab
lab = Lab(sys.argv[1])
while True:
    time.sleep(0.1)
    try:
        socket.create_connection(("127.0.0.1", lab.site.port("web")), timeout=1).close()
        break
    except OSError:
        continue
time.sleep(2.5)
lab.kill_process("web")
"""

PORT = "web/availability::port_is_free_or_ours"
HEALTH = "web/availability::health_endpoint_answers"
VERSION = "web/version::version_served_is_the_version_deployed"
PROXY = "proxy/availability::leads_to_the_web_service"
ABSENT = "web/exposure::error_pages_tell_nothing"
REFUSED = (
    "web/availability::ready_to_serve",
    "web/availability::page_opens*",
    "web/capacity::*",
    "web/errors::error_rate_of_users",
    "web/exposure::failed_logins",
    "web/performance::p95_response_time_of_users",
    VERSION,
    PROXY,
    "proxy/security::cookies_are_protected",
)
"""What nobody can see when the web service itself does not answer."""


@fault(
    "web-stopped",
    service="web",
    fails=[HEALTH],
    blocks=[*REFUSED, "web/errors::error_rate", "web/performance::*", ABSENT, "web/uptime::*"],
    root=HEALTH,
)
def stopped(lab: Lab) -> None:
    """The web service does not run."""
    lab.stop_process("web")


@fault(
    "web-program-broken",
    service="web",
    fails=[HEALTH],
    blocks=[*REFUSED, "web/errors::error_rate", "web/performance::*", ABSENT, "web/uptime::*"],
    root=HEALTH,
    outcome="still-failing",
)
def program_broken(lab: Lab) -> None:
    """The web service does not run, and its program is gone: no restart brings it back."""
    lab.stop_process("web")
    lab.break_program("web")


@fault(
    "web-falls-again",
    service="web",
    fails=[HEALTH],
    blocks=[*REFUSED, "web/errors::error_rate", "web/performance::*", ABSENT, "web/uptime::*"],
    root=HEALTH,
)
def falls_again(lab: Lab) -> None:
    """The web service does not run, and when it runs again it is killed once more."""
    lab.stop_process("web")
    lab.spawn(sys.executable, "-c", KILLING, str(lab.folder))


@fault(
    "web-frozen",
    service="web",
    fails=[HEALTH],
    blocks=[
        *REFUSED,
        "web/errors::error_rate",
        "web/performance::*",
        ABSENT,
        "web/uptime::*",
        "proxy/security::security_headers",
    ],
    root=HEALTH,
)
def frozen(lab: Lab) -> None:
    """The web service takes connections and never answers; nobody waits for longer than two seconds meanwhile."""
    for probe in ("web", "metrics", "proxy"):
        lab.change_setting(f"probes.{probe}.timeout", 2)
    lab.pause("web")


@fault(
    "web-hiccup",
    service="web",
    fails=[HEALTH],
    blocks=[VERSION, PROXY],
    may_block=["web/uptime::*"],
    root=HEALTH,
    outcome="not-needed",
)
def hiccup(lab: Lab) -> None:
    """The web service says for some seconds that it is not healthy, and recovers by itself."""
    lab.misbehave("web", body={"path": "/health", "json": {"status": "unhealthy"}, "lasts": 4})


@fault(
    "web-and-standby",
    service="web",
    fails=[HEALTH, "standby/freshness::replication_lag"],
    blocks=[*REFUSED, "web/errors::error_rate", "web/performance::*", ABSENT, "web/uptime::*"],
    root=HEALTH,
)
def web_and_standby(lab: Lab) -> None:
    """The web service does not run, and somebody paused the replay on the standby: two faults, each with its own cause."""
    lab.stop_process("web")
    pause_replay(lab)


@fault("web-worker-gone", service="web", fails=["web/capacity::every_worker_answers"])
def worker_gone(lab: Lab) -> None:
    """One of the web service's worker processes is gone, and no other took its place."""
    lab.restart_when_healed("web")
    lab.supervisor.signal("web", "TTOU")  # gunicorn: one worker less

    def gone() -> None:
        if (left := len(lab.family("web")) - 1) >= WEB_WORKERS:
            raise NotReady(f"{left} workers")

    until(gone, "a worker has ended", deadline=10)


@fault("web-unhealthy", service="web", fails=[HEALTH], blocks=[VERSION, PROXY], root=HEALTH)
def unhealthy(lab: Lab) -> None:
    """The health endpoint answers 200, and says that the service is not healthy."""
    lab.confuse("web", body={"path": "/health", "json": {"status": "unhealthy"}})


@fault(
    "web-error-page-with-200",
    service="web",
    fails=[PORT],
    blocks=[HEALTH, VERSION, PROXY],
    root=PORT,
    schedule="predeploy",
)
def error_page_with_200(lab: Lab) -> None:
    """The health endpoint answers 200 with a page for people."""
    lab.confuse(
        "web", body={"path": "/health", "text": "<html><h1>Something went wrong</h1></html>", "type": "text/html"}
    )


@fault(
    "web-port-taken",
    service="web",
    fails=[PORT],
    blocks=[HEALTH, *REFUSED, "web/uptime::*"],
    root=PORT,
    schedule="predeploy",
    outcome="person",
)
def port_taken(lab: Lab) -> None:
    """Another program holds the web service's port, and answers there."""
    lab.stop_process("web")
    folder = str(lab.site.path("inbox"))
    lab.spawn(sys.executable, "-m", "http.server", str(lab.site.port("web")), "--bind", HOST, "--directory", folder)


@fault(
    "web-not-ready",
    service="web",
    fails=["web/availability::ready_to_serve"],
    root="web/availability::ready_to_serve",
)
def not_ready(lab: Lab) -> None:
    """The web service answers, and says that it lacks disk space to work."""
    lab.confuse("web", not_ready=["disk_space"])


@fault(
    "web-home-replaced",
    service="web",
    fails=["web/availability::page_opens[/]"],
    root="web/availability::page_opens[/]",
    schedule="postdeploy",
)
def home_replaced(lab: Lab) -> None:
    """Instead of the home page users get a web server's own."""
    lab.confuse("web", body={"path": "/", "text": "<html><h1>Welcome to nginx!</h1></html>", "type": "text/html"})


@fault(
    "web-page-broken",
    service="web",
    fails=["web/availability::page_opens[/login]"],
    blocks=["proxy/security::cookies_are_protected"],
    root="web/availability::page_opens[/login]",
    schedule="postdeploy",
)
def page_broken(lab: Lab) -> None:
    """Where users sign in, another page is answered."""
    lab.confuse("web", body={"path": "/login", "text": "<html><h1>It works!</h1></html>", "type": "text/html"})


@fault(
    "web-version-old",
    service="web",
    fails=["web/version::version_served_is_the_version_deployed"],
    schedule="postdeploy",
    outcome="person",
)
def version_old(lab: Lab) -> None:
    """The deployment did not take: the version before it is still served."""
    lab.misbehave("web", version="0.9.9")


@fault(
    "web-slow",
    service="web",
    fails=["web/performance::p95_response_time", "web/performance::p95_response_time_of_users"],
)
def slow(lab: Lab) -> None:
    """Every third request for a page takes longer than users accept, and so does what they do there."""
    lab.change_setting("facts.web.sample", "/register")
    rule = {"seconds": 2.5}
    lab.confuse("web", slow=[{"path": "/register", "share": 0.3, **rule}, {"path": "/api/*", **rule}])


@fault("web-slow-tenth", service="web", fails=["web/performance::p95_response_time"])
def slow_tenth(lab: Lab) -> None:
    """Every tenth request for a page takes longer than users accept; enough are sampled to meet it."""
    lab.change_setting("facts.web.sample", "/ready")
    lab.change_setting("facts.web.sample_requests", 40)
    lab.confuse("web", slow={"path": "/ready", "share": 0.1, "seconds": 2.5})


@fault(
    "web-restart-makes-it-worse",
    service="web",
    fails=[HEALTH],
    blocks=[VERSION, PROXY],
    may_block=[*REFUSED, "web/errors::*", "web/performance::*", ABSENT, "web/uptime::*"],
    root=HEALTH,
    outcome="still-failing",
)
def restart_makes_it_worse(lab: Lab) -> None:
    """The web service says that it is not healthy, and its program is gone: who restarts it takes it away altogether."""
    unhealthy.inject(lab)
    lab.break_program("web")


@fault("web-slow-for-users", service="web", fails=["web/performance::p95_response_time_of_users"])
def slow_for_users(lab: Lab) -> None:
    """What users do takes longer than they accept; the pages that are sampled are quick."""
    lab.confuse("web", slow={"path": "/api/*", "seconds": 2.5})
    for _ in range(3):
        lab.spawn(sys.executable, "-c", READING, HOST, str(lab.site.port("web")))


@fault("web-errors", service="web", fails=["web/errors::error_rate", "web/errors::error_rate_of_users"])
def errors(lab: Lab) -> None:
    """One request in five for a page ends in an error of the service, and so does half of what users do there."""
    lab.change_setting("facts.web.sample", "/register")
    rule = {"code": 500}
    lab.confuse("web", status=[{"path": "/register", "share": 0.2, **rule}, {"path": "/api/*", "share": 0.5, **rule}])


@fault("web-page-refused", service="web", fails=["web/errors::error_rate"], outcome="still-failing")
def page_refused(lab: Lab) -> None:
    """One request in five for a page is refused, at once: no error to the service itself, and one to whoever asked."""
    lab.change_setting("facts.web.sample", "/register")
    lab.misbehave("web", status={"path": "/register", "share": 0.2, "code": 403})


@fault(
    "web-asks-for-less",
    service="web",
    fails=["web/errors::error_rate", "web/performance::p95_response_time"],
    outcome="unmeasured",
)
def asks_for_less(lab: Lab) -> None:
    """The service limits how often the checks may ask: what they are told then is neither an error nor quick."""
    lab.change_setting("facts.web.sample", "/register")
    lab.misbehave("web", status={"path": "/register", "share": 0.5, "code": 429})


@fault("web-endpoint-broken", service="web", fails=["web/errors::error_rate_of_users"])
def endpoint_broken(lab: Lab) -> None:
    """One endpoint answers nothing but errors; all others are well."""
    lab.confuse("web", status={"path": "/api/v1/predictions", "code": 500})
    lab.spawn(sys.executable, "-c", READING, HOST, str(lab.site.port("web")))


@fault("web-errors-for-users", service="web", fails=["web/errors::error_rate_of_users"])
def errors_for_users(lab: Lab) -> None:
    """Half of what users do ends in an error; the pages that are sampled are well."""
    lab.confuse("web", status={"path": "/api/*", "code": 500, "share": 0.5})
    for _ in range(3):
        lab.spawn(sys.executable, "-c", READING, HOST, str(lab.site.port("web")))


@fault("web-log-errors", service="web", fails=["web/errors::no_new_errors_in_the_log"], outcome="person")
def log_errors(lab: Lab) -> None:
    """The service writes errors into its log."""
    lab.misbehave("web", log_errors=True)


@fault("web-log-silent", service="web", fails=["web/logging::log_is_written"], outcome="person")
def log_silent(lab: Lab) -> None:
    """Nobody has written into the log for hours, although the services answer."""
    _end_the_log(lab, log_silent=True)


@fault("web-log-lost", service="web", fails=["web/logging::log_is_written"])
def log_lost(lab: Lab) -> None:
    """The log was deleted hours ago, and the services go on writing to the file that they have open."""
    _end_the_log(lab, log_kept=True)


@fault("web-shows-internals", service="web", fails=["web/exposure::error_pages_tell_nothing"], outcome="person")
def shows_internals(lab: Lab) -> None:
    """The page for what does not exist shows a traceback."""
    lab.misbehave("web", body={"path": "/there-is-no-such-page", "text": TRACEBACK, "type": "text/html", "code": 404})


@fault("web-passwords-tried", service="web", fails=["web/exposure::failed_logins"], outcome="person")
def passwords_tried(lab: Lab) -> None:
    """Somebody tries one password after the other."""
    lab.spawn(sys.executable, "-c", GUESSING, HOST, str(lab.site.port("web")))


@fault("web-was-down", service="web", fails=["web/uptime::uptime"], outcome="person")
def was_down(lab: Lab) -> None:
    """The web service is up, and was down on two of the last ten days."""
    past.write(lab, HEALTH, ["passed", "passed", "failed", "blocked-by", *["passed"] * 6])


def _end_the_log(lab: Lab, **rule: bool) -> None:
    """Put a log in place whose only record is of hours ago, and that nobody writes to by RULE."""
    for service in ("web", "ml"):
        lab.confuse(service, **rule)
    lab.stop_process("worker")
    before = datetime.now(UTC) - timedelta(hours=5)
    last = {"timestamp": before.isoformat(), "level": "INFO", "logger": "nightscan.web", "message": "request"}
    log = lab.site.home / "logs" / "nightscan.log"
    lab.replace_file(log, json.dumps(last) + "\n")
    os.utime(log, (before.timestamp(), before.timestamp()))
