"""The one place that holds the version; the build bakes it into the extension."""

__version__ = "0.1.0"
