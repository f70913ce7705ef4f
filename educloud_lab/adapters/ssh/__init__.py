"""The SSH adapter: with the gateway, the only place that knows asyncssh."""
