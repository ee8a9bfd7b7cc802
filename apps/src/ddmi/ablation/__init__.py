"""The paper's ablation (Table 8) and the alternatives that it argues against, with matched parameters."""
