"""Test-time views by name."""

from soundpost.views.view import View, Window
from soundpost.views.whole import Whole

VIEWS: dict[str, type] = {
    "whole": Whole,
}

__all__ = ["VIEWS", "View", "Window"]
