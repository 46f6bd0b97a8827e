"""Whether the secrets that are deployed are secret."""

import re
from itertools import combinations
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pytest_runbook import Unmeasured, check


@check("predeploy daily", severity="P1", runbook="secrets-weak")
async def test_no_secret_is_a_placeholder(system, facts):
    """No secret is a placeholder or a word that everybody tries first (guide G03)."""
    pattern = re.compile("|".join(facts.secrets.placeholders), re.IGNORECASE)
    weak = [name for name, (value, _) in _secrets(system, facts).items() if pattern.fullmatch(value)]
    assert not weak, f"placeholders or defaults: {', '.join(weak)}"


@check("predeploy daily", severity="P2", runbook="secrets-weak")
async def test_no_secret_is_short(system, facts):
    """Every secret is long enough that nobody finds it by trying (guide G03)."""
    short = [
        f"{name} has {len(value)} characters of {least}"
        for name, (value, least) in _secrets(system, facts).items()
        if len(value) < least
    ]
    assert not short, f"too short: {', '.join(short)}"


@check("predeploy daily", severity="P2", runbook="secrets-weak", unmeasured="P3")
async def test_secrets_differ(system, facts):
    """No secret serves two purposes: who learns the key of sessions must not be able to forge tokens as well.

    `A or b.c` in `facts.secrets.distinct`: the variable A and the JSON's key b.c serve the same purpose.
    """
    told = _secrets(system, facts)
    known = {names: [told[name][0] for name in names.split(" or ") if name in told] for names in facts.secrets.distinct}
    keys = {names: values[0] for names, values in known.items() if values}
    if len(keys) < 2:
        raise Unmeasured(f"fewer than two of these are known here: {', '.join(facts.secrets.distinct)}")
    same = [f"{one} and {other}" for one, other in combinations(keys, 2) if keys[one] == keys[other]]
    assert not same, f"one secret for two purposes: {'; '.join(same)}"


@check("predeploy daily", severity="P1", runbook="secrets-exposed", needs="host")
def test_secret_files_are_private(host, system, facts):
    """Files with secrets can be read by their service only: closed to other users, not to be changed by the group (guide G03)."""
    named = {str(Path(facts.paths.root, name)) for name in facts.secrets.files}
    used = {str(path) for path in (system.config_file, system.env_file) if path}
    files = {name: file for name in sorted(named | used) if (file := host.file(name)).exists}
    if not files:
        raise Unmeasured(f"none of the files with secrets is here: {', '.join(sorted(named))}")
    modes = {name: file.mode for name, file in files.items()}
    exposed = [f"{name} has mode {mode:o}" for name, mode in modes.items() if mode & 0o027]
    assert not exposed, f"open to others: {', '.join(exposed)}"


def _secrets(system, facts):
    """Name to value and least length of the secrets that are told, also inside of addresses."""
    told = {
        **_texts(system.environment, facts.secrets.variables),
        **_texts(system.keys, facts.secrets.config),
    }
    for name in facts.secrets.addresses:
        if password := _password(system.environment.get(name, "")):
            told[name] = password, facts.secrets.addresses[name]
    if not told:
        raise Unmeasured("no secret is known here: neither in the environment nor in the configuration")
    return told


def _texts(values, lengths):
    return {
        name: (str(values[name]), lengths[name])
        for name in lengths
        if values.get(name) not in (None, "", "***masked***")
    }


def _password(address):
    try:
        return unquote(urlsplit(address).password or "")
    except ValueError:
        return ""
