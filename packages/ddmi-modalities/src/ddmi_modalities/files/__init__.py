"""What is read and written: pixels, clips, sheets, weights."""
