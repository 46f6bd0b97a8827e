"""What the tests of every folder share."""

pytest_plugins = ["tests.labs"]
