"""The program: `sandbox`, or `python -m sandbox`."""

import signal


def main() -> None:
    """Run the command line. Until it is there to say so, Ctrl-C ends the process as it ends any, without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sandbox.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
