"""Markup of the reports; see `milk_np.display.markup`."""

from milk_np.display.markup import Markup as Markup
from milk_np.display.markup import join as join
from milk_np.display.markup import tag as tag
