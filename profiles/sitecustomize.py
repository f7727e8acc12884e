"""Turns cuDNN off as soon as torch is imported: GB10 (sm_121) has no cuDNN conv3d kernels.

Python imports a module of this name at its start. After the field notes' import hook.
"""

import importlib.abc
import importlib.machinery
import sys


class _WithoutCudnn(importlib.abc.MetaPathFinder):
    """Finds torch as everybody else would, and sets one switch after it was loaded."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            module.backends.cudnn.enabled = False

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _WithoutCudnn())
