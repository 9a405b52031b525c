"""`python -m webhook` is `sidecar-policy`."""

from webhook.cli.main import run

run()
