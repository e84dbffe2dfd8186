"""Candidates as they would be if some events had not happened, built by the same models of dbt in a copy of the warehouse.

Two gates ask for them. `leakage` builds a labelled snapshot without the future. `transfer` excludes a platform's events from the
candidates of another.
"""
