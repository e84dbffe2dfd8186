"""How good the lists are: metrics, intervals and the promotion decision."""
