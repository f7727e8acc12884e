"""What ranks have in common, whatever serves in them and whatever they run in."""
