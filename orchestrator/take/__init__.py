"""What people have already, as orch's files: recipes, compose files, inventories, containers that run.

Text in, mappings out; nothing here reads a file or asks a host. What can't be translated is named, never dropped.
"""
