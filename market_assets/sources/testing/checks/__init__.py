"""The checks of the kit, by what they hold a source to."""
