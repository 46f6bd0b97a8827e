"""What small projects of the tests do not use of pytest: each of these plugins costs time in every run of their checks."""

UNUSED = (
    *("randomly", "rerunfailures", "xdist", "xdist.looponfail", "anyio", "valkey", "cacheprovider"),
    *("html", "html_fixtures", "metadata", "allure_pytest", "pytest11.testinfra"),
)
LEAN = " ".join(f"-p no:{name}" for name in UNUSED)
"""For `addopts`."""
