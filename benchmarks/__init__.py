"""Measures orch against its peers and against hand-written shell, as ratios of one run on one machine."""
