"""One module a revision, named after it. A released one is never changed.

Workers of the version before go on while a database is brought up to date, so a revision only adds: what is no longer used is
dropped by the version after.
"""
