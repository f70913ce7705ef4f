"""The EC2 Query API over HTTP: signatures, parameters, answers."""
