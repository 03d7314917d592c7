"""What the agent does: it turns the facts that `memory` holds into adapters, and takes them back."""

__version__ = "0.1.0"
