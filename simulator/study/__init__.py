"""The only room that sees every stage: expand a study, run its points, store them, check them, report."""
