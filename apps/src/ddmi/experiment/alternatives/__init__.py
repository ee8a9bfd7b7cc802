"""What the ablation compares the method with."""
