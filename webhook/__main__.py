"""`python -m webhook` is `sidecar-policy`."""

from webhook.cli.entry import run

run()
