"""How results are shown and handed over: markup, tables in notebooks, Arrow and pandas."""
