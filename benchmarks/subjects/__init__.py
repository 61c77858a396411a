"""One subject a file; each has `measure(options) -> list[Outcome]`."""
