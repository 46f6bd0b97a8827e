"""Puts the web application together: pages, interface, health, metrics, log, headers, and the faults in place."""

from __future__ import annotations

import secrets

import redis
from flask import Flask, Response, jsonify, request
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from lab.serving import access, faults, logs, versions
from lab.serving.environment import Environment
from lab.web import api, health, metrics, pages
from lab.web.cache import Cache
from lab.web.database import Database, Unavailable
from lab.web.services import Services

SECURITY_HEADERS = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), camera=()",
}


class Cookies(SecureCookieSessionInterface):
    """Session cookies as configured, or without any protection while that fault is in place."""

    def __init__(self, broken: faults.Faults) -> None:
        self._broken = broken

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether it has `Secure`."""
        return not self._insecure() and super().get_cookie_secure(app)

    def get_cookie_httponly(self, app: Flask) -> bool:
        """Whether it has `HttpOnly`."""
        return not self._insecure() and super().get_cookie_httponly(app)

    def get_cookie_samesite(self, app: Flask) -> str | None:
        """Value of its `SameSite`."""
        return None if self._insecure() else super().get_cookie_samesite(app)

    def _insecure(self) -> bool:
        return bool(self._broken.get("insecure_cookie"))


def create(environment: Environment) -> Flask:
    """The application that ENVIRONMENT describes; it opens no connection before `Database.pool.open`."""
    app = Flask("lab.web")
    app.logger.name = "nightscan.web"
    broken = faults.Faults(environment.folder, "web", versions.rules(environment.version, "web"))
    logs.configure(environment, app.logger, broken.get)
    app.extensions["services"] = Services(environment, broken, Database(environment), Cache(environment.redis_url))
    app.session_interface = Cookies(broken)
    _configure(app, environment)
    access.install(app)
    _finish(app, broken)
    metrics.install(app)
    faults.install(app, broken)
    for module in (pages, api, health):
        app.register_blueprint(module.blueprint)
    return app


def _configure(app: Flask, environment: Environment) -> None:
    app.config.update(
        SECRET_KEY=environment.variables.get("SECRET_KEY")
        or environment.get("security.secret_key", "")
        or secrets.token_hex(32),
        SESSION_COOKIE_NAME="session",
        SESSION_COOKIE_SECURE=environment.get("security.session_cookie_secure", True),
        SESSION_COOKIE_HTTPONLY=environment.get("security.session_cookie_httponly", True),
        SESSION_COOKIE_SAMESITE=environment.get("security.session_cookie_samesite", "Lax"),
        PERMANENT_SESSION_LIFETIME=environment.get("security.session_timeout", 3600),
        MAX_CONTENT_LENGTH=environment.get("services.max_file_size", 50 * 1024 * 1024),
    )


def _finish(app: Flask, broken: faults.Faults) -> None:
    """What every answer gets: security headers, and the interface's own words for each error."""

    @app.after_request
    def headers(response: Response) -> Response:
        absent = broken.get("no_security_headers")
        for name, value in SECURITY_HEADERS.items():
            if not absent or (isinstance(absent, list) and name not in absent):
                response.headers.setdefault(name, value)
        return response

    @app.errorhandler(Unavailable)
    @app.errorhandler(redis.RedisError)
    def unavailable(error: Exception) -> ResponseReturnValue:
        app.logger.error("%s", error, extra={"path": request.path})
        return jsonify(error="a service that this page needs does not answer"), 503

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> ResponseReturnValue:
        return jsonify(error=error.description), error.code or 500
