"""Terms of stage 1 beside the likelihood: perceptual, adversarial, opacity."""
