"""What can be wrong with the web service."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

from lab import past
from lab.faults import fault
from lab.lab import Lab
from lab.site import HOST

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

PORT = "web/availability::port_is_free_or_ours"
HEALTH = "web/availability::health_endpoint_answers"
VERSION = "web/version::version_served_is_the_version_deployed"
PROXY = "proxy/availability::leads_to_the_web_service"
ABSENT = "web/exposure::error_pages_tell_nothing"
REFUSED = (
    "web/availability::ready_to_serve",
    "web/availability::page_opens*",
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


@fault("web-unhealthy", service="web", fails=[HEALTH], blocks=[VERSION, PROXY], root=HEALTH)
def unhealthy(lab: Lab) -> None:
    """The health endpoint answers 200, and says that the service is not healthy."""
    lab.misbehave("web", body={"path": "/health", "json": {"status": "unhealthy"}})


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
    lab.misbehave(
        "web", body={"path": "/health", "text": "<html><h1>Something went wrong</h1></html>", "type": "text/html"}
    )


@fault(
    "web-port-taken",
    service="web",
    fails=[PORT],
    blocks=[HEALTH, *REFUSED, "web/uptime::*"],
    root=PORT,
    schedule="predeploy",
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
    """The web service answers, and lacks disk space to work."""
    lab.misbehave("web", not_ready=["disk_space"])


@fault(
    "web-home-replaced",
    service="web",
    fails=["web/availability::page_opens[/]"],
    root="web/availability::page_opens[/]",
    schedule="postdeploy",
)
def home_replaced(lab: Lab) -> None:
    """Instead of the home page users get a web server's own."""
    lab.misbehave("web", body={"path": "/", "text": "<html><h1>Welcome to nginx!</h1></html>", "type": "text/html"})


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
    lab.misbehave("web", body={"path": "/login", "text": "<html><h1>It works!</h1></html>", "type": "text/html"})


@fault(
    "web-version-old",
    service="web",
    fails=["web/version::version_served_is_the_version_deployed"],
    schedule="postdeploy",
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
    lab.misbehave("web", slow=[{"path": "/register", "share": 0.3, **rule}, {"path": "/api/*", **rule}])


@fault("web-slow-for-users", service="web", fails=["web/performance::p95_response_time_of_users"])
def slow_for_users(lab: Lab) -> None:
    """What users do takes longer than they accept; the pages that are sampled are quick."""
    lab.misbehave("web", slow={"path": "/api/*", "seconds": 2.5})
    for _ in range(3):
        lab.spawn(sys.executable, "-c", READING, HOST, str(lab.site.port("web")))


@fault("web-errors", service="web", fails=["web/errors::error_rate", "web/errors::error_rate_of_users"])
def errors(lab: Lab) -> None:
    """One request in five for a page ends in an error of the service, and so does half of what users do there."""
    lab.change_setting("facts.web.sample", "/register")
    rule = {"code": 500}
    lab.misbehave("web", status=[{"path": "/register", "share": 0.2, **rule}, {"path": "/api/*", "share": 0.5, **rule}])


@fault("web-errors-for-users", service="web", fails=["web/errors::error_rate_of_users"])
def errors_for_users(lab: Lab) -> None:
    """Half of what users do ends in an error; the pages that are sampled are well."""
    lab.misbehave("web", status={"path": "/api/*", "code": 500, "share": 0.5})
    for _ in range(3):
        lab.spawn(sys.executable, "-c", READING, HOST, str(lab.site.port("web")))


@fault("web-log-errors", service="web", fails=["web/errors::no_new_errors_in_the_log"])
def log_errors(lab: Lab) -> None:
    """The service writes errors into its log."""
    lab.misbehave("web", log_errors=True)


@fault("web-log-silent", service="web", fails=["web/logging::log_is_written"])
def log_silent(lab: Lab) -> None:
    """Nobody has written into the log for hours, although the services answer."""
    for service in ("web", "ml"):
        lab.misbehave(service, log_silent=True)
    lab.stop_process("worker")
    before = datetime.now(UTC) - timedelta(hours=5)
    last = {"timestamp": before.isoformat(), "level": "INFO", "logger": "nightscan.web", "message": "request"}
    lab.replace_file(lab.site.home / "logs" / "nightscan.log", json.dumps(last) + "\n")


@fault("web-shows-internals", service="web", fails=["web/exposure::error_pages_tell_nothing"])
def shows_internals(lab: Lab) -> None:
    """The page for what does not exist shows a traceback."""
    lab.misbehave("web", body={"path": "/there-is-no-such-page", "text": TRACEBACK, "type": "text/html", "code": 404})


@fault("web-passwords-tried", service="web", fails=["web/exposure::failed_logins"])
def passwords_tried(lab: Lab) -> None:
    """Somebody tries one password after the other."""
    lab.spawn(sys.executable, "-c", GUESSING, HOST, str(lab.site.port("web")))


@fault("web-was-down", service="web", fails=["web/uptime::uptime"])
def was_down(lab: Lab) -> None:
    """The web service is up, and was down on two of the last ten days."""
    past.write(lab, HEALTH, ["passed", "passed", "failed", "blocked-by", *["passed"] * 6])
