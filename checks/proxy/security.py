"""Whether browsers are told to protect users; looked at where users are, behind the proxy."""

import re
from urllib.parse import urlsplit

from pytest_runbook import Unmeasured, check


@check("postdeploy daily", severity="P2", runbook="web-insecure")
async def test_plain_http_is_redirected(proxy, facts):
    """Who comes without TLS is sent to TLS, for good, and gets nothing else."""
    if not facts.proxy.plain_url:
        raise Unmeasured("the address of plain HTTP is not known: facts.proxy.plain_url is empty")
    answer = await proxy.get(f"{facts.proxy.plain_url.rstrip('/')}{facts.web.sample}", follow=False)
    assert answer.status_code in (301, 308), (
        f"plain HTTP was answered {answer.status_code} instead of a lasting redirect"
    )
    target = answer.headers.get("location", "")
    assert urlsplit(target).scheme == "https", f'plain HTTP leads to "{target}" instead of TLS'


@check("postdeploy daily", severity="P2", runbook="web-insecure", needs="web")
async def test_security_headers(proxy, facts):
    """Every page carries the headers that protect users: TLS from now on, no foreign scripts, frames or guessed types."""
    answer = await proxy.get(facts.web.sample)
    needed = facts.web.headers
    assert needed, "no header is named: facts.web.headers is empty"
    missing = [name for name in needed if name not in answer.headers]
    assert not missing, f"{facts.web.sample} comes without {', '.join(missing)}"
    # A header that is sent twice holds both values, and is as good as its weaker one.
    values = {name: answer.headers.get_list(name) for name in needed}
    weak = [f"{name}: {value}" for name, seen in values.items() for value in seen if not _fits(needed[name], value)]
    assert not weak, f"{facts.web.sample} comes with weak headers: {'; '.join(weak)}"


@check("postdeploy daily", severity="P2", runbook="web-insecure", needs="web", unmeasured="P2")
async def test_cookies_are_protected(proxy, facts):
    """The session's cookie travels over TLS only, is hidden from scripts, and is not sent along by other sites."""
    answer = await proxy.get(facts.web.session)
    cookies = answer.headers.get_list("set-cookie")
    if not cookies:
        raise Unmeasured(f"{facts.web.session} sets no cookie")
    weak = [f"{line.partition('=')[0].strip()} lacks {lacks}" for line in cookies if (lacks := _lacks(line))]
    assert not weak, f"cookies without protection: {'; '.join(weak)}"


def _fits(pattern, value):
    return re.fullmatch(pattern, value, re.IGNORECASE) is not None


def _lacks(line):
    """What the cookie of the LINE lacks, read as browsers do (RFC 6265): whatever its value, attributes follow semicolons."""
    attributes = [part.partition("=") for part in line.split(";")[1:]]
    given = {name.strip().lower(): value.strip().lower() for name, _, value in attributes}
    lacks = [flag for flag in ("Secure", "HttpOnly") if flag.lower() not in given]
    return ", ".join(lacks + ["SameSite"] * (given.get("samesite") not in ("lax", "strict")))
