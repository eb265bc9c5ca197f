"""The end of what is said of options that do nothing."""

EFFECT = "so it would have no effect"
