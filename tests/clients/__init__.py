"""The test suites of real clients, run with the sidecar in the way and without: `make clients`."""
