"""What can be wrong with the web service and the proxy before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lab.faults import fault
from lab.lab import Lab


@fault("web-stopped", service="web", root="web")
def stopped(lab: Lab) -> None:
    """The web service does not run."""
    lab.stop_process("web")


@fault("certificate-expired", service="web", schedule="weekly")
def certificate_expired(lab: Lab) -> None:
    """The proxy shows a certificate that ended yesterday."""
    lab.issue_certificate(datetime.now(UTC) - timedelta(days=1))
