"""Looking at functions in a browser: a local server, and pages that need none."""
