"""Pictures of how a trained model works, for every kind of signal: see `analyze_run`."""

from ddmi.analysis.run import Analysis, analyze_run

__all__ = ["Analysis", "analyze_run"]
