"""Stands for an import hook."""
