"""Why a machine hangs: facts in, findings out. Only :mod:`gather` looks at the world; everything else is pure."""
