"""Everything that defines a run, as typed values."""
