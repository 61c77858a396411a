"""Reports: pages without network access or scripts, plots as inline SVG, tables as CSV, Markdown and LaTeX."""
