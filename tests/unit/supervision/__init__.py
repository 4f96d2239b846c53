"""What a supervisor decides, as sentences. `world` plays the children and the clock."""
