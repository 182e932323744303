"""Recipes as modules, which no package holds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe(name: str) -> ModuleType:
    """The recipe made anew, so that what a test sets in it is gone with it; what recipes share is found beside it."""
    if str(RECIPES) not in sys.path:
        sys.path.append(str(RECIPES))
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", RECIPES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module             # where dataclasses look for annotations
    spec.loader.exec_module(module)
    return module
