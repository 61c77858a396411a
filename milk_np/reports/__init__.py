"""Reports: pages that need no network and no script, plots as inline SVG, tables as CSV, Markdown and LaTeX."""
