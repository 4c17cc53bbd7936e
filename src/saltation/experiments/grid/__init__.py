"""Networks of recipes on a time grid, trained with surrogate gradients: what exact gradients are compared with."""
