"""meshproxy: the service-mesh sidecar that a developer can read, extend and trust."""

__version__ = "0.1.0"
