"""The metadata service at 169.254.169.254, one unix socket an instance."""
