"""OpenMoji's drawings, and their pixels at any size."""
