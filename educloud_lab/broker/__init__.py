"""Use cases: leases, volumes, grants; the reconciler and its queue."""
