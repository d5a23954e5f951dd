"""edgebig: a model from data to evidence on a device."""

__version__ = "0.1.0"
