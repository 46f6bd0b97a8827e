"""The pages that a person meets: home, registration, sign-in, sign-out."""

from __future__ import annotations

import secrets

from flask import Blueprint, abort, current_app, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash, generate_password_hash

from lab.web.metrics import FAILED_LOGINS
from lab.web.services import services

HASHING = "pbkdf2:sha256:20000"
"""Fewer rounds than production takes: the lab's traffic signs in all day on somebody's laptop."""
RECENT = "SELECT count(*) AS recordings FROM prediction WHERE created_at > now() - interval '1 day'"
LATEST = "SELECT id, filename, created_at FROM prediction WHERE user_id = %s ORDER BY created_at DESC LIMIT 10"

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> str:
    """The home page: figures for everybody, the latest recordings for who is signed in."""
    here = services()
    figures = here.cache.through("home", 5, lambda: here.database.rows(RECENT)[0])
    latest = here.database.rows(LATEST, [session["user"]]) if "user" in session else []
    return render_template("index.html", figures=figures, latest=latest)


@blueprint.get("/login")
def login() -> str:
    """The sign-in form."""
    return render_template("form.html", title="Sign in", action=url_for("pages.sign_in"), token=_token())


@blueprint.post("/login")
def sign_in() -> ResponseReturnValue:
    """Sign in; 401 with the form again when name and password do not match."""
    _check_token()
    query = 'SELECT id, password_hash FROM "user" WHERE username = %s'
    found = services().database.rows(query, [request.form.get("username", "")])
    if not found or not check_password_hash(found[0]["password_hash"], request.form.get("password", "")):
        FAILED_LOGINS.labels("invalid_credentials").inc()
        current_app.logger.warning("sign-in failed", extra={"address": request.remote_addr})
        error = "Unknown name or wrong password."
        form = render_template(
            "form.html", title="Sign in", action=url_for("pages.sign_in"), token=_token(), error=error
        )
        return form, 401
    session["user"] = found[0]["id"]
    return redirect(url_for("pages.index"))


@blueprint.get("/register")
def register() -> str:
    """The registration form."""
    return render_template("form.html", title="Register", action=url_for("pages.sign_up"), token=_token())


@blueprint.post("/register")
def sign_up() -> ResponseReturnValue:
    """Make an account; 400 for a name or password too short, 409 for a name that is taken."""
    _check_token()
    name, password = request.form.get("username", ""), request.form.get("password", "")
    if not 3 <= len(name) <= 80 or len(password) < 10:
        abort(400, "a name has 3 to 80 characters, a password 10 or more")
    made = services().database.rows(
        'INSERT INTO "user" (username, email, password_hash) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING RETURNING id',
        [name, f"{name}@nightscan.example", generate_password_hash(password, HASHING)],
    )
    if not made:
        abort(409, f'the name "{name}" is taken')
    return redirect(url_for("pages.login"))


@blueprint.post("/logout")
def sign_out() -> ResponseReturnValue:
    """Sign out."""
    _check_token()
    session.clear()
    return redirect(url_for("pages.index"))


def _token() -> str:
    """The token that a form of this session must bring back."""
    token: str = session.setdefault("csrf", secrets.token_urlsafe(24))
    return token


def _check_token() -> None:
    if not services().environment.get("security.csrf_enabled", True):
        return
    expected = session.get("csrf", "")
    if not expected or not secrets.compare_digest(expected, request.form.get("csrf_token", "")):
        FAILED_LOGINS.labels("invalid_csrf").inc()
        abort(400, "the form has expired")
