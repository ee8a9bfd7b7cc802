"""From radiance fields to pictures."""
