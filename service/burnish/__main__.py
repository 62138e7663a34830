"""`python -m burnish` is the same as `burnish`."""

import signal


def main() -> None:
    """Run the command line; Ctrl-C also ends it quietly while its modules are loaded."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from burnish import cli

    signal.signal(signal.SIGINT, handler)
    cli.main()


if __name__ == "__main__":
    main()
