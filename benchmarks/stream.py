"""The console's stream as it comes, as JSON lines: a viewer that does nothing else. `python -m benchmarks.stream`."""

import json
import sys

from sandbox.session.context import open_client, open_context, running_stack
from sandbox.session.stream import open_stream
from sandbox.view.watch.lines import Documents

CONNECT_S = 5.0


def main() -> None:
    """Print for as long as the stack runs."""
    context = open_context({})
    _, endpoints = running_stack(context)
    documents = Documents(secrets=False)
    with open_client(CONNECT_S) as client, open_stream(client, endpoints, context.state) as records:
        for record in records:
            if document := documents.make(record):
                sys.stdout.write(json.dumps(document) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
