"""A first recipe for recordings of one's own: `saltation new FILE`."""

from saltation.extras import need

need("cli", "saltation new")

from saltation.new.recipe import new_recipe

__all__ = ["new_recipe"]
