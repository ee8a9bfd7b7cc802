"""How close things are to true ones, pair by pair and set by set."""
